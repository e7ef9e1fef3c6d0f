//! Objects to apply: metadata and owner, then the rules of each kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::findings::Findings;
use crate::target::{check_scope, place};
use crate::{metadata, names, objects};
use plan::manifest::{Kind, Manifest};

/// Checks one object.
pub(super) fn check(manifest: &Manifest, found: &mut Findings) {
    let target = manifest.target();
    found.at(place("apply", &target), |found| {
        check_name(manifest.kind(), &target.name, found);
        check_scope(&target, found);
        metadata::check(manifest.metadata(), found);
        if target.namespace.is_some() {
            check_owner(manifest.metadata(), found);
        }
        objects::check(manifest, found);
    });
}

fn check_name(kind: Kind, name: &str, found: &mut Findings) {
    let good = match kind {
        Kind::Service => names::is_service_name(name),
        // Pods have these names in labels; those of a StatefulSet add a revision of eleven characters.
        Kind::Job => names::is_label(name),
        Kind::StatefulSet => names::is_label(name) && name.len() <= 52,
        _ => names::is_subdomain(name),
    };
    found.unless(good, || {
        format!("name {name:?} is not valid for a {}", kind.as_str())
    });
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
