//! Orphaned Nodes: they carry our finalizer although their claim is gone. The second safety net under termination, for
//! Nodes; `garbage.rs` is the one for instances. A Node is let go once its instance is gone.

use cloudprovider::{CloudCall, Instance, InstanceLookup, Ownership};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use plan::Plan;

use crate::managed;
use crate::node::edit;
use crate::node::facts::has_finalizer;
use crate::node::ownership;
use crate::observed::ObservedNode;

/// Plans for one Node.
#[must_use]
pub fn plan_node(observed: &ObservedNode) -> Plan<CloudCall> {
    let node = &*observed.node;
    let mut plan = Plan::default();
    if !is_orphan(observed) {
        return plan;
    }
    match &observed.instance {
        InstanceLookup::Absent { reads } if *reads >= 2 => {
            plan.add_reason("orphaned_node", node.name_any());
            plan.writes = edit::remove(node);
        }
        // The instance is not ours any more, so neither is the Node: our finalizer must not block its deletion.
        InstanceLookup::Found(instance)
            if is_foreign(instance) && node.metadata.deletion_timestamp.is_some() =>
        {
            plan.add_reason("foreign_node", node.name_any());
            plan.writes = edit::remove(node);
        }
        // Another claim of the name has an instance of its own, which is not this Node's.
        InstanceLookup::Found(instance) if is_of_other_claim(instance, node) => {
            plan.add_reason("node_of_earlier_claim", node.name_any());
            plan.writes = edit::remove(node);
        }
        InstanceLookup::Unknown | InstanceLookup::Absent { .. } | InstanceLookup::Found(_) => {}
    }
    plan
}

/// Reports whether a Node waits for the end of an instance whose claim is gone. Every listing may show that end.
#[must_use]
pub fn is_orphan(observed: &ObservedNode) -> bool {
    let node = &observed.node;
    !observed.claim_exists && managed::is_managed_node(node) && has_finalizer(node)
}

fn is_of_other_claim(instance: &Instance, node: &Node) -> bool {
    match (&instance.owner, ownership::owner_uid(node)) {
        (Ownership::Ours { claim_uid }, Some(owner)) => claim_uid != owner,
        _ => false,
    }
}

fn is_foreign(instance: &Instance) -> bool {
    instance.owner == Ownership::Foreign
}
