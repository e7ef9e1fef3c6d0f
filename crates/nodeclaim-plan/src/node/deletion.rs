//! A Node that somebody deletes takes its claim along: `kubectl delete node` removes the instance.

use cloudprovider::CloudCall;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use plan::{Delete, Plan, Propagation, Write};

use crate::claim_edit;
use crate::context::Ctx;
use crate::ownership;

/// The claim's Node, if it is being deleted and waits for us.
pub(crate) fn deleted_node<'a>(ctx: &Ctx<'a>) -> Option<&'a Node> {
    ctx.own_nodes()
        .find(|node| node.metadata.deletion_timestamp.is_some() && ownership::has_finalizer(node))
}

/// Deletes the claim, which then drains the Node and deletes the pool.
pub(crate) fn plan(ctx: &Ctx<'_>, node: &Node) -> Plan<CloudCall> {
    let mut plan = Plan::default();
    plan.add_reason("node_deleted", node.name_any());
    plan.writes.push(Write::Delete(Delete {
        target: claim_edit::target(ctx.claim),
        uid: ctx.uid().to_owned(),
        propagation: Propagation::Background,
        grace_seconds: None,
    }));
    plan
}
