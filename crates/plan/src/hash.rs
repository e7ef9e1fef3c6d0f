//! A digest of a rendered object, kept on it as an annotation.
//!
//! [`crate::drift`] sees what was changed or removed by others; the digest sees what we ourselves stopped
//! writing, which a comparison of the wanted fields cannot.

use kaito_api::labels::RENDERED_HASH;

use crate::manifest::Manifest;

/// Adds [`RENDERED_HASH`], computed over the object without it.
#[must_use]
pub fn stamped(mut manifest: Manifest) -> Manifest {
    if let Some(annotations) = manifest.metadata_mut().annotations.as_mut() {
        annotations.remove(RENDERED_HASH);
    }
    let mut value = manifest.to_value();
    // In one order, whatever features of serde_json else is built together with this switches on.
    value.sort_all_objects();
    let digest = kaito_api::names::digest(&[&value.to_string()]);
    manifest
        .metadata_mut()
        .annotations
        .get_or_insert_default()
        .insert(RENDERED_HASH.to_owned(), digest[..16].to_owned());
    manifest
}
