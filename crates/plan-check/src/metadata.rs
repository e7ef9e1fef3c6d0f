//! Labels, annotations, finalizers and owners.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::findings::Findings;
use crate::names;

/// Checks labels and annotations of an object or a pod template.
pub(super) fn check(metadata: &ObjectMeta, found: &mut Findings) {
    for (key, value) in metadata.labels.iter().flatten() {
        found.unless(names::is_qualified(key), || format!("label key {key:?}"));
        found.unless(names::is_label_value(value), || {
            format!("value {value:?} of label {key}")
        });
    }
    for key in metadata.annotations.iter().flatten().map(|(key, _)| key) {
        found.unless(names::is_qualified(key), || format!("annotation key {key:?}"));
    }
    let size: usize = metadata
        .annotations
        .iter()
        .flatten()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    found.unless(size <= 256 << 10, || {
        "annotations of more than 256 KiB".to_owned()
    });
    for finalizer in metadata.finalizers.iter().flatten() {
        found.unless(names::is_qualified(finalizer), || {
            format!("finalizer {finalizer:?}")
        });
    }
    for owner in metadata.owner_references.iter().flatten() {
        let complete = ![&owner.uid, &owner.name, &owner.kind, &owner.api_version]
            .iter()
            .any(|text| text.is_empty());
        found.unless(complete, || "an owner reference is incomplete".to_owned());
    }
}
