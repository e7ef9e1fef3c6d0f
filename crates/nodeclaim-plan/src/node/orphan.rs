//! A Node that carries our finalizer although its claim is gone. The pool, if there is one, is the garbage
//! collector's; here the Node is let go once there is none.

use cloudprovider::{AgentPool, CloudCall, Ownership, PoolLookup};
use kube::ResourceExt as _;
use plan::Plan;

use crate::managed;
use crate::node::edit;
use crate::observed::ObservedNode;
use crate::ownership;

/// Decides about one Node.
#[must_use]
pub fn plan_node(observed: &ObservedNode) -> Plan<CloudCall> {
    let node = &*observed.node;
    let mut plan = Plan::default();
    if observed.claim_exists || !managed::is_managed_node(node) || !ownership::has_finalizer(node) {
        return plan;
    }
    match &observed.instance {
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
