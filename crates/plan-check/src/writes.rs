//! Single writes, and writes that do not go together.

use crate::findings::{Findings, repeated};
use crate::target::{check_scope, place};
use crate::{manifests, names};
use plan::ObjectRef;
use plan::write::{Delete, Evict, MergePatch, Write};

/// Checks one write.
pub(super) fn check(write: &Write, found: &mut Findings) {
    match write {
        Write::Apply(manifest) => manifests::check(manifest, found),
        Write::Delete(delete) => found.at(place("delete", &delete.target), |found| {
            check_delete(delete, found)
        }),
        Write::Patch(patch) => found.at(place("patch", &patch.target), |found| check_patch(patch, found)),
        Write::Evict(evict) => {
            found.at(format!("evict Pod {}/{}", evict.namespace, evict.name), |found| {
                check_evict(evict, found)
            });
        }
    }
}

/// Checks all writes of a plan together.
pub(super) fn check_together(writes: &[Write], found: &mut Findings) {
    let applied = || {
        writes.iter().filter_map(|write| match write {
            Write::Apply(manifest) => Some(manifest.target()),
            _ => None,
        })
    };
    let deleted = || {
        writes.iter().filter_map(|write| match write {
            Write::Delete(delete) => Some(delete.target.clone()),
            _ => None,
        })
    };
    let patched = writes.iter().filter_map(|write| match write {
        Write::Patch(patch) => Some(patch.target.clone()),
        _ => None,
    });
    for (twice, targets) in [
        ("applied twice", repeated(applied())),
        ("deleted twice", repeated(deleted())),
        // The first patch changes the version that the second one names.
        ("patched twice", repeated(patched)),
    ] {
        for target in targets {
            found.at(place("writes", &target), |found| {
                found.unless(false, || twice.to_owned())
            });
        }
    }
    for target in applied().filter(|target| deleted().any(|other| other == *target)) {
        found.at(place("writes", &target), |found| {
            found.unless(false, || "applied and deleted".to_owned())
        });
    }
}

fn check_delete(delete: &Delete, found: &mut Findings) {
    check_target(&delete.target, found);
    found.unless(!delete.uid.is_empty(), || "expected a UID".to_owned());
}

fn check_patch(patch: &MergePatch, found: &mut Findings) {
    check_target(&patch.target, found);
    found.unless(!patch.resource_version.is_empty(), || {
        "expected a resource version".to_owned()
    });
    let body = patch.body.as_object();
    found.unless(body.is_some_and(|body| !body.is_empty()), || {
        "changes nothing".to_owned()
    });
    for pointer in [
        "/metadata/resourceVersion",
        "/metadata/name",
        "/metadata/uid",
        "/status",
    ] {
        found.unless(patch.body.pointer(pointer).is_none(), || {
            format!("may not set {pointer}")
        });
    }
    for (pointer, rule) in [
        ("/metadata/labels", names::is_label_value as fn(&str) -> bool),
        ("/metadata/annotations", |_| true),
    ] {
        let Some(map) = patch.body.pointer(pointer).and_then(|value| value.as_object()) else {
            continue;
        };
        for (key, value) in map {
            found.unless(names::is_qualified(key), || format!("key {key:?} in {pointer}"));
            found.unless(value.is_null() || value.as_str().is_some_and(rule), || {
                format!("{key} in {pointer}: {value}")
            });
        }
    }
}

fn check_evict(evict: &Evict, found: &mut Findings) {
    found.unless(!evict.uid.is_empty(), || "expected a UID".to_owned());
    found.unless(names::is_label(&evict.namespace), || {
        "the namespace must be a DNS label".to_owned()
    });
    found.unless(names::is_subdomain(&evict.name), || {
        "the name must be a DNS name".to_owned()
    });
}

fn check_target(target: &ObjectRef, found: &mut Findings) {
    found.unless(names::is_subdomain(&target.name), || {
        format!("name {:?} must be a DNS name", target.name)
    });
    check_scope(target, found);
}
