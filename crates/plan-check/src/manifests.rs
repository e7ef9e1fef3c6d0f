//! Objects to apply: metadata and owner, then what each kind demands.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::writes::{check_scope, place};
use crate::{Findings, names, objects};
use plan::manifest::{Kind, Manifest};

/// Looks at one object.
pub(super) fn check(manifest: &Manifest, found: &mut Findings) {
    let target = manifest.target();
    found.at(place("apply", &target), |found| {
        check_name(manifest.kind(), &target.name, found);
        check_scope(&target, found);
        check_metadata(manifest.metadata(), found);
        if target.namespace.is_some() {
            check_owner(manifest.metadata(), found);
        }
        objects::check(manifest, found);
    });
}

fn check_name(kind: Kind, name: &str, found: &mut Findings) {
    let good = match kind {
        Kind::Service => names::is_service_name(name),
        // Pods carry these names in labels; a StatefulSet's add a revision of eleven characters.
        Kind::Job => names::is_label(name),
        Kind::StatefulSet => names::is_label(name) && name.len() <= 52,
        _ => names::is_subdomain(name),
    };
    found.unless(good, || {
        format!("name {name:?} is not valid for a {}", kind.as_str())
    });
}

/// Labels and annotations of any object, a pod template's too.
pub(super) fn check_metadata(metadata: &ObjectMeta, found: &mut Findings) {
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

fn check_owner(metadata: &ObjectMeta, found: &mut Findings) {
    let owners = metadata.owner_references.iter().flatten();
    let controllers = owners
        .filter(|owner| owner.controller == Some(true) && !owner.uid.is_empty())
        .count();
    found.unless(controllers == 1, || {
        format!("{controllers} controller owners instead of one")
    });
}
