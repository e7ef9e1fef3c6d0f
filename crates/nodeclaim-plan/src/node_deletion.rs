//! A deleted Node takes its claim along: `kubectl delete node` removes the instance.

use cloudprovider::CloudCall;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use plan::{Delete, Plan, Propagation, Write};

use crate::claim_edit;
use crate::context::PlanContext;
use crate::node::facts::has_finalizer;

/// Returns the claim's Node, if it is being deleted and waits for our finalizer.
pub(crate) fn deleted_node<'a>(context: &PlanContext<'a>) -> Option<&'a Node> {
    let is_deleted = |node: &&Node| node.metadata.deletion_timestamp.is_some() && has_finalizer(node);
    context.own_nodes.iter().copied().find(is_deleted)
}

/// Deletes the claim, which then drains the Node and deletes the instance.
pub(crate) fn plan(context: &PlanContext<'_>, node: &Node) -> Plan<CloudCall> {
    let mut plan = Plan::default();
    plan.add_reason("node_deleted", node.name_any());
    plan.writes.push(Write::Delete(Delete {
        target: claim_edit::target(context.claim),
        uid: context.claim.uid().to_owned(),
        propagation: Propagation::Background,
        grace_seconds: None,
    }));
    plan
}
