//! Policies on our own accounts: what they may write, and where.
//!
//! RBAC grants verbs on kinds. It cannot say that a Deployment belongs to a Workspace, or that a claim is not another
//! Karpenter's. These policies say it, so that a stolen token of a program is not a token of the whole cluster.
//! They must never reject a write of the programs: a program that is rejected can only report it.
//!
//! The chart adds a match condition: the user is the program's ServiceAccount.

use crate::policy::{Policy, Rule, Variable, rule, variable};

/// Policy on workspace-controller: Workspaces, claims, and the objects of Workspaces.
pub const CONTROLLER: Policy = Policy {
    name: "controller",
    reason: "Forbidden",
    conditions: &[],
    fail_closed: true,
    variables: CONTROLLER_VARIABLES,
    rules: CONTROLLER_RULES,
};

/// Policy on gpu-provisioner: claims and Nodes.
pub const PROVISIONER: Policy = Policy {
    name: "provisioner",
    reason: "Forbidden",
    conditions: &[],
    fail_closed: true,
    variables: PROVISIONER_VARIABLES,
    rules: PROVISIONER_RULES,
};

const KIND: Variable = variable("kind", "request.resource.resource");
const LABELS: Variable = variable(
    "labels",
    "object != null && has(object.metadata.labels) ? object.metadata.labels : {}",
);
const OLD_LABELS: Variable = variable(
    "oldLabels",
    "oldObject != null && has(oldObject.metadata.labels) ? oldObject.metadata.labels : {}",
);
const OLD_OWNERS: Variable = variable(
    "oldOwners",
    "oldObject != null && has(oldObject.metadata.ownerReferences) ? oldObject.metadata.ownerReferences : []",
);
const IS_CLAIM: Variable = variable("isClaim", "variables.kind in ['machines', 'nodeclaims']");

const CONTROLLER_VARIABLES: &[Variable] = &[
    KIND,
    LABELS,
    OLD_LABELS,
    OLD_OWNERS,
    IS_CLAIM,
    variable("isWorkspace", "variables.kind == 'workspaces'"),
    variable("isOwned", "!variables.isClaim && !variables.isWorkspace"),
    variable(
        "owners",
        "object != null && has(object.metadata.ownerReferences) ? object.metadata.ownerReferences : []",
    ),
    variable(
        "workspace",
        "'kaito.sh/workspace' in variables.labels ? variables.labels['kaito.sh/workspace'] : ''",
    ),
];

const CONTROLLER_RULES: &[Rule] = &[
    rule(
        "metadata.namespace",
        "!variables.isOwned || !(request.namespace.startsWith('kube-') \
         || request.namespace == variables.operatorNamespace)",
        "'workspace-controller must not write to namespace ' + request.namespace",
    ),
    rule(
        "metadata.ownerReferences",
        "!variables.isOwned || object == null || variables.owners.exists(o, has(o.controller) && o.controller \
         && o.kind == 'Workspace' && o.apiVersion.startsWith('kaito.sh/') && o.name == variables.workspace)",
        "'workspace-controller must write only objects that a Workspace controls, with label kaito.sh/workspace'",
    ),
    rule(
        "metadata.ownerReferences",
        "!variables.isOwned || oldObject == null || variables.oldOwners.exists(o, has(o.controller) && o.controller \
         && o.kind == 'Workspace' && o.apiVersion.startsWith('kaito.sh/'))",
        "'workspace-controller must not change objects that no Workspace controls'",
    ),
    // Only metadata and status of a Workspace are written.
    rule(
        "spec",
        "!variables.isWorkspace || ['resource', 'inference', 'tuning'].all(f, (f in object) == (f in oldObject) \
         && (!(f in object) || object[f] == oldObject[f]))",
        "'workspace-controller must not change what a Workspace asks for'",
    ),
    rule(
        "metadata.labels",
        "!variables.isClaim || object == null || 'kaito.sh/workspace' in variables.labels \
         && 'kaito.sh/workspacenamespace' in variables.labels",
        "'workspace-controller must write only claims of Workspaces'",
    ),
    rule(
        "metadata.labels",
        "!variables.isClaim || oldObject == null || 'kaito.sh/workspace' in variables.oldLabels",
        "'workspace-controller must not change claims that belong to no Workspace'",
    ),
];

const PROVISIONER_VARIABLES: &[Variable] = &[
    KIND,
    LABELS,
    OLD_LABELS,
    OLD_OWNERS,
    IS_CLAIM,
    variable("isNode", "variables.kind == 'nodes'"),
    // The rule of `nodeclaim_plan::is_managed`.
    variable(
        "isMarked",
        "['kaito.sh/workspace', 'kaito.sh/ragengine'].exists(k, k in variables.oldLabels)",
    ),
    variable(
        "nodeClass",
        "variables.isClaim && has(oldObject.spec) && has(oldObject.spec.nodeClassRef) \
         && has(oldObject.spec.nodeClassRef.group) ? oldObject.spec.nodeClassRef.group : ''",
    ),
    // Agent pools give their Nodes the labels of the claim, so a Node is marked when it joins.
    variable(
        "isMarkedNode",
        "['kaito.sh/workspace', 'kaito.sh/ragengine', 'kaito.sh/kaitonodeclass', 'kaito.sh/machine-type', \
          'kaito.sh/creation-timestamp'].exists(k, k in variables.oldLabels) \
         || variables.oldOwners.exists(o, o.apiVersion.startsWith('karpenter.sh/'))",
    ),
    variable(
        "changedLabels",
        "(variables.labels.map(k, k).filter(k, !(k in variables.oldLabels) || variables.oldLabels[k] != variables.labels[k]) \
         + variables.oldLabels.map(k, k).filter(k, object != null && !(k in variables.labels)))",
    ),
    // The domains of `kaito_api::node_labels`, without ours and Karpenter's.
    variable(
        "foreignLabels",
        "variables.changedLabels.filter(k, !(k in ['node.kubernetes.io/exclude-from-external-load-balancers', \
          'node-restriction.kubernetes.io/kaito-workspace-uid']) && !k.startsWith('app.kubernetes.io/') \
         && k.matches('^([-a-z0-9]+[.])*(kubernetes[.]io|k8s[.]io|x-k8s[.]io|azure[.]com|nvidia[.]com)/|^agentpool$'))",
    ),
];

const PROVISIONER_RULES: &[Rule] = &[
    rule(
        "spec.nodeClassRef",
        "!variables.isClaim || (variables.nodeClass == '' ? variables.isMarked : variables.nodeClass == 'kaito.sh')",
        "'gpu-provisioner must not change claims of another provisioner'",
    ),
    rule(
        "spec",
        "!variables.isClaim || object == null || has(object.spec) == has(oldObject.spec) \
         && (!has(object.spec) || object.spec == oldObject.spec)",
        "'gpu-provisioner must not change what a claim asks for'",
    ),
    rule(
        "metadata",
        "!variables.isNode || variables.isMarkedNode",
        "'gpu-provisioner must not change Nodes that it did not create'",
    ),
    rule(
        "metadata.labels",
        "!variables.isNode || object == null || variables.foreignLabels.size() == 0",
        "'gpu-provisioner must not change labels that belong to others: ' + variables.foreignLabels.join(', ')",
    ),
];

#[cfg(test)]
mod tests {
    use kaito_api::labels;

    use super::*;

    #[test]
    fn names_are_those_of_the_vocabulary() {
        let text = |policy: &Policy| format!("{policy:?}");
        let (controller, provisioner) = (text(&CONTROLLER), text(&PROVISIONER));
        for name in [labels::WORKSPACE, labels::WORKSPACE_NAMESPACE] {
            assert!(controller.contains(&format!("'{name}'")), "{name}");
        }
        for name in [
            labels::WORKSPACE,
            labels::RAG_ENGINE,
            labels::KAITO_NODE_CLASS,
            labels::MACHINE_TYPE,
            labels::CREATION_TIMESTAMP,
            labels::EXCLUDE_FROM_LB,
        ] {
            assert!(provisioner.contains(&format!("'{name}'")), "{name}");
        }
        assert!(provisioner.contains(labels::AGENT_POOL));
    }
}
