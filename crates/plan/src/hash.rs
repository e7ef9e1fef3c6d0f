//! A digest of a rendered object, stored in an annotation of the object.
//!
//! [`crate::drift`] finds fields that others changed or removed. The digest finds fields that we stopped writing, which a
//! comparison of the wanted fields cannot.

use kaito_api::labels::RENDERED_HASH;

use crate::manifest::Manifest;

/// Adds the annotation [`RENDERED_HASH`], computed over the object without it.
#[must_use]
pub(crate) fn stamped(mut manifest: Manifest) -> Manifest {
    if let Some(annotations) = manifest.metadata_mut().annotations.as_mut() {
        annotations.remove(RENDERED_HASH);
    }
    let mut value = manifest.to_value();
    // A fixed order: other crates of a build may enable the feature of serde_json that keeps insertion order.
    value.sort_all_objects();
    let digest = kaito_api::names::digest(&[&value.to_string()]);
    manifest
        .metadata_mut()
        .annotations
        .get_or_insert_default()
        .insert(RENDERED_HASH.to_owned(), digest[..16].to_owned());
    manifest
}
