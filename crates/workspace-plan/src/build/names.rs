//! Conflicts between the names of our objects and objects of other owners.

use kaito_api::conditions::WorkspaceReason;
use plan::{Kind, Manifest, ObjectRef};

use crate::context::PlanContext;
use crate::metadata;
use crate::problem::Problem;
use crate::workload::NamedObject;

/// Checks that no name that we need is taken by another owner.
///
/// # Errors
/// With the first conflict.
pub(crate) fn check_names(context: &PlanContext<'_>, manifests: &[Manifest]) -> Result<(), Problem> {
    let targets: Vec<ObjectRef> = manifests.iter().map(Manifest::target).collect();
    let is_needed = |object: &NamedObject<'_>| targets.iter().any(|target| object.is(target));
    let mut foreign = context
        .named
        .iter()
        .filter(|object| !context.owns(object.metadata));
    let conflict = foreign.find(|object| is_needed(object));
    conflict.map_or(Ok(()), |object| Err(problem(context, object)))
}

fn problem(context: &PlanContext<'_>, object: &NamedObject<'_>) -> Problem {
    let (kind, name) = (object.kind.as_str(), metadata::name(object.metadata));
    let cause = match metadata::controller(object.metadata) {
        Some(owner) if owner.kind == Kind::Workspace.as_str() && owner.name == context.workspace().name() => {
            format!("{kind} {name} belongs to an earlier Workspace of this name; it should go away by itself")
        }
        Some(owner) => format!("{kind} {name} belongs to {} {}", owner.kind, owner.name),
        None => format!("there is a {kind} {name} which this Workspace did not make"),
    };
    Problem::new(WorkspaceReason::NameConflict, cause)
}
