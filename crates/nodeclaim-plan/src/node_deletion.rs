//! A deleted Node takes its claim along: `kubectl delete node` removes the instance.
//!
//! The cloud deletes Nodes too, of an instance that is stopped or changed. Then the claim stays.

use std::time::Duration;

use cloudprovider::{BRAKE_WINDOW, CloudCall, Instance, InstanceState};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kube::ResourceExt as _;
use plan::Plan;

use crate::claim_edit;
use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::launch::decision::LaunchState;
use crate::node::edit::NodeEdit;
use crate::node::facts::{has_finalizer, is_ready};
use crate::status::findings::Findings;
use crate::{condition, spot, status, time};

/// Resolution of times of the API server, which cuts fractions of a second.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);
/// Time until the instance is read again, if the read was too early.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// Returns the claim's Node, if it is being deleted and waits for our finalizer.
pub(crate) fn deleted_node<'a>(context: &PlanContext<'a>) -> Option<&'a Node> {
    let is_deleted = |node: &&Node| node.metadata.deletion_timestamp.is_some() && has_finalizer(node);
    context.own_nodes.iter().copied().find(is_deleted)
}

/// Deletes the claim, which then drains the Node and deletes the instance, unless the cloud has deleted the Node.
pub(crate) fn plan(context: &PlanContext<'_>, node: &Node) -> Plan<CloudCall> {
    let mut plan = Plan::default();
    match meaning(context, node) {
        Meaning::Unknown => {
            plan.add_reason("confirming_node_deletion", node.name_any());
            let name = context.name.to_owned();
            plan.cloud = Some(CloudCall::Read { name });
            plan.requeue = Some(READ_AGAIN);
        }
        Meaning::NodeLost => {
            plan.add_reason("node_lost", node.name_any());
            let mut edit = NodeEdit::new(node);
            edit.unprotect();
            plan.writes.extend(edit.into_write());
            plan.requeue = Some(context.poll);
        }
        Meaning::ClaimUnwanted if spot::was_taken(context, node) => return spot::plan(context, node),
        Meaning::ClaimUnwanted if let Some(until) = context.deletion_held_until => {
            return held(context, node, until);
        }
        Meaning::ClaimUnwanted => {
            plan.add_reason("node_deleted", node.name_any());
            plan.writes.push(claim_edit::delete(context.claim));
        }
    }
    plan
}

/// Reports whether a user deleted the claim's Node, so that the claim is to be deleted if the brake permits it.
pub(crate) fn takes_claim_along(context: &PlanContext<'_>, node: &Node) -> bool {
    matches!(meaning(context, node), Meaning::ClaimUnwanted) && !spot::was_taken(context, node)
}

/// Keeps the claim for now and says so: many Nodes were deleted at once, perhaps by mistake.
fn held(context: &PlanContext<'_>, node: &Node, until: Timestamp) -> Plan<CloudCall> {
    let cause = format!(
        "Node {} was deleted, as many others were; at most {} % of the nodes are given back in {} minutes",
        node.name_any(),
        context.settings.node_deletion_percent,
        BRAKE_WINDOW.as_mins()
    );
    let registered = condition::unmet(ClaimReason::NodeDeletionHeld, &cause);
    let initialized = condition::stored(context.claim, ClaimConditionType::Initialized);
    let findings = Findings {
        health: None,
        ..Findings::stored(context.claim)
    };
    let status = status::live(
        context,
        &LaunchState::Unchanged,
        registered,
        initialized,
        findings,
    );
    let mut plan = Plan {
        status: status.value,
        events: status.events,
        requeue: time::remaining(until, context.now).or(Some(READ_AGAIN)),
        ..Plan::default()
    };
    plan.add_reason("node_deletion_held", node.name_any());
    plan
}

/// Meaning of the deletion of a Node for its claim.
enum Meaning {
    /// The instance has to be read first.
    Unknown,
    /// The cloud took the Node of an instance that stays.
    NodeLost,
    /// The user wants the instance to be deleted.
    ClaimUnwanted,
}

fn meaning(context: &PlanContext<'_>, node: &Node) -> Meaning {
    let deleted = node.metadata.deletion_timestamp.as_ref();
    let deleted = time::after(deleted.map_or(context.now, |at| at.0), RESOLUTION);
    match context.instance {
        InstanceView::Unknown => Meaning::Unknown,
        InstanceView::Absent(reads) if reads < 2 => Meaning::Unknown,
        InstanceView::Owned(_) if context.read_at.is_none_or(|at| at < deleted) => Meaning::Unknown,
        InstanceView::Owned(instance) if is_taken_by_cloud(context, node, instance, deleted) => {
            Meaning::NodeLost
        }
        InstanceView::Absent(_) | InstanceView::Foreign(_) | InstanceView::Owned(_) => Meaning::ClaimUnwanted,
    }
}

/// Returns true if the instance was stopped or changed when its Node was deleted, as far as this process saw. While it
/// changes, the cloud deletes no Node whose kubelet reports that it is ready; that of a stopped one is not up to date.
fn is_taken_by_cloud(
    context: &PlanContext<'_>,
    node: &Node,
    instance: &Instance,
    deleted: Timestamp,
) -> bool {
    let changes = matches!(instance.state, InstanceState::Changing(_));
    let changed_since = context.state_since.is_some_and(|since| since >= deleted);
    let settled = instance.state == InstanceState::Succeeded;
    instance.stopped || (!is_ready(node) && (changes || (settled && changed_since)))
}
