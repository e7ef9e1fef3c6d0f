//! The object that a write names.

use plan::{Kind, ObjectRef};

use crate::findings::Findings;
use crate::names;

/// Checks that namespaced kinds have a namespace and the others none.
pub(super) fn check_scope(target: &ObjectRef, found: &mut Findings) {
    let namespaced = !matches!(target.kind, Kind::Machine | Kind::NodeClaim | Kind::Node);
    match &target.namespace {
        Some(namespace) => {
            found.unless(namespaced, || {
                "a cluster-scoped object must have no namespace".to_owned()
            });
            found.unless(names::is_label(namespace), || {
                format!("namespace {namespace:?} must be a DNS label")
            });
        }
        None => found.unless(!namespaced, || "expected a namespace".to_owned()),
    }
}

/// Returns verb, kind and name, for people.
pub(super) fn place(verb: &str, target: &ObjectRef) -> String {
    format!("{verb} {} {}", target.kind.as_str(), target.name)
}
