//! The policy that keeps others from writing the revisions of Workspaces. A revision is a workload that
//! workspace-controller applies again, so its author would have the controller's rights on Deployments.
//!
//! The right is the one of [`crate::FINALIZER`]. The role `edit` of Kubernetes contains no writes of revisions; a
//! role of an administrator's own may.

use crate::policy::{Policy, Rule, Variable, right, rule};

/// Policy for writes of ControllerRevisions.
pub const REVISIONS: Policy = Policy {
    name: "revisions",
    reason: "Forbidden",
    conditions: CONDITIONS,
    fail_closed: true,
    variables: VARIABLES,
    rules: RULES,
};

// A removed owner is the garbage collector's, and a revision without an owner counts for nothing.
const CONDITIONS: &[(&str, &str)] = &[(
    "a-workspace-controls-it",
    "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, has(o.controller) && o.controller \
     && o.kind == 'Workspace' && o.apiVersion.startsWith('kaito.sh/'))",
)];

const VARIABLES: &[Variable] = &[right(
    "mayRecord",
    "authorizer.group('kaito.sh').resource('workspaces').subresource('finalizers').check('update').allowed()",
)];

const RULES: &[Rule] = &[rule(
    "metadata.ownerReferences",
    "variables.mayRecord",
    "'only workspace-controller records revisions of a Workspace; annotate the Workspace with kaito.sh/rollback-to to \
     return to one. A cluster administrator may write them with the right to update workspaces/finalizers in all namespaces'",
)];
