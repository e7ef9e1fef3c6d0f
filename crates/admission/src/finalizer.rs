//! The policy that keeps our finalizer on Workspaces. Without it, any user who may edit a Workspace could delete it
//! and leave its nodes running.
//!
//! The right is `update` on `workspaces/finalizers` in all namespaces, which the role of workspace-controller has. A
//! RoleBinding does not grant it, so the administrator of a namespace does not have it.

use crate::policy::{Policy, Rule, Variable, right, rule};

/// Policy for updates of Workspaces.
pub const FINALIZER: Policy = Policy {
    name: "finalizer",
    reason: "Forbidden",
    conditions: CONDITIONS,
    fail_closed: true,
    variables: VARIABLES,
    rules: RULES,
};

const CONDITIONS: &[(&str, &str)] = &[(
    "finalizer-is-removed",
    "has(oldObject.metadata.finalizers) && 'workspace.finalizer.kaito.sh' in oldObject.metadata.finalizers \
     && !(has(object.metadata.finalizers) && 'workspace.finalizer.kaito.sh' in object.metadata.finalizers)",
)];

const VARIABLES: &[Variable] = &[right(
    "mayRelease",
    "authorizer.group('kaito.sh').resource('workspaces').subresource('finalizers').check('update').allowed()",
)];

const RULES: &[Rule] = &[rule(
    "metadata.finalizers",
    "variables.mayRelease",
    "'finalizer workspace.finalizer.kaito.sh is removed by workspace-controller once all nodes of the Workspace are \
     gone; without it they keep running and cost money. A cluster administrator may remove it with the right to update \
     workspaces/finalizers in all namespaces'",
)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_is_that_of_the_vocabulary() {
        let quoted = format!("'{}'", kaito_api::labels::WORKSPACE_FINALIZER);
        assert!(CONDITIONS[0].1.contains(&quoted));
    }
}
