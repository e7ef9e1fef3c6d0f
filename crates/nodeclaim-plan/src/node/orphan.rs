//! A Node that carries our finalizer although its claim is gone. The pool, if there is one, is the garbage
//! collector's; here the Node is let go once there is none.

use cloudprovider::{AgentPool, CloudCall, Ownership, PoolLookup};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use plan::Plan;

use crate::managed;
use crate::node::edit;
use crate::ownership;

/// Decides about one Node. `claim_exists` is whether the claim that the Node names as owner is there;
/// `pool` is the pool of the Node's label, by reads that started after the claim was missed.
#[must_use]
pub fn plan_node(_now: Timestamp, node: &Node, claim_exists: bool, pool: &PoolLookup) -> Plan<CloudCall> {
    let mut plan = Plan::default();
    if claim_exists || !managed::is_managed_node(node) || !ownership::has_finalizer(node) {
        return plan;
    }
    match pool {
        PoolLookup::Absent { reads } if *reads >= 2 => {
            plan.add_reason("orphaned_node", node.name_any());
            plan.writes = edit::dismiss(node);
        }
        // The pool became somebody else's: so did the Node, and nothing of ours may hold it up.
        PoolLookup::Found(pool) if is_foreign(pool) && node.metadata.deletion_timestamp.is_some() => {
            plan.add_reason("foreign_node", node.name_any());
            plan.writes = edit::dismiss(node);
        }
        PoolLookup::Unknown | PoolLookup::Absent { .. } | PoolLookup::Found(_) => {}
    }
    plan
}

fn is_foreign(pool: &AgentPool) -> bool {
    pool.ownership() == Ownership::Foreign
}
