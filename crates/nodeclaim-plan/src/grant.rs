//! The consent to replace an unhealthy Node: it depends on the whole fleet, on the API server and on the cloud.

use std::sync::Arc;

use cloudprovider::InstanceTracker;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::labels::{NODE_COUNT, WORKSPACE_UID};
use kube::ResourceExt as _;

use crate::context::PlanContext;
use crate::node::ownership;
use crate::observe::{Source, most_deletions, nodes_of};
use crate::observed::Observed;
use crate::outdated;
use crate::phase::{self, Phase};
use crate::repair::answer::{RepairAnswer, RepairHold};
use crate::repair::{self, symptom};
use crate::settings::Settings;

/// Returns the name of a Node whose replacement is due, for its health, its age or its class. It is to be read past the caches, for [`authorize`].
#[must_use]
pub fn due_node(now: Timestamp, observed: &Observed, settings: &Settings) -> Option<String> {
    let context = PlanContext::new(now, observed, settings);
    if !matches!(phase::of(&context), Phase::Live) {
        return None;
    }
    match repair::assess(&context) {
        Some(unhealthy) => {
            let is_due = unhealthy.is_due(now) && !unhealthy.is_forbidden(&context);
            is_due.then(|| unhealthy.node.name_any())
        }
        None => outdated::due_node(&context),
    }
}

/// Decides whether the Node is replaced. `live` is the Node as the API server shows it now. It is `None` if the server does not
/// answer, and an empty answer if the Node is gone. `steady` and `ahead` are those of [`crate::observe()`].
pub fn authorize(
    source: &impl Source,
    tracker: &mut InstanceTracker,
    observed: &mut Observed,
    live: Option<Option<Node>>,
    settings: &Settings,
    (steady, ahead): (Timestamp, SignedDuration),
) {
    let by_plan = |at: Timestamp| at.saturating_add(ahead).unwrap_or(at);
    let Some(live) = live else {
        observed.repair = RepairAnswer::Held(RepairHold::NodeUnread);
        return;
    };
    if !take(observed, live) || due_node(by_plan(steady), observed, settings).is_none() {
        return;
    }
    let is_heard = |at: Timestamp| steady.duration_since(at) <= settings.cloud_silence;
    observed.repair = if !tracker.listed_at().is_some_and(is_heard) {
        RepairAnswer::Held(RepairHold::CloudSilent)
    } else {
        let fleet = source.fleet();
        let most = most_deletions(fleet.len(), settings.node_deletion_percent);
        let sick = |claim: &&Claim| is_unhealthy(source, claim, settings);
        let is_outdated = is_outdated(by_plan(steady), observed, settings);
        if is_outdated
            && (fleet.iter().any(|claim| sick(&claim)) || !others_are_settled(&fleet, &observed.claim))
        {
            RepairAnswer::Held(RepairHold::Others)
        } else if fleet.iter().filter(sick).count() > most {
            RepairAnswer::Held(RepairHold::Many)
        } else {
            match tracker.permit_deletion(observed.claim.uid(), most, steady) {
                Ok(()) => RepairAnswer::Granted,
                Err(until) => RepairAnswer::Held(RepairHold::Brake(by_plan(until))),
            }
        }
    };
}

/// Returns true if the node is healthy, and is replaced for its age or its class.
fn is_outdated(now: Timestamp, observed: &Observed, settings: &Settings) -> bool {
    let context = PlanContext::new(now, observed, settings);
    repair::assess(&context).is_none()
}

/// Returns true if the Workspace of the claim has all its nodes, and all others are ready.
fn others_are_settled(fleet: &[Claim], own: &Claim) -> bool {
    let workspace = |claim: &Claim| claim.labels().get(WORKSPACE_UID).cloned();
    let is_other = |other: &&Claim| other.uid() != own.uid() && workspace(other) == workspace(own);
    let settled = fleet
        .iter()
        .filter(is_other)
        .filter(|other| outdated::is_settled(other));
    // A claim that is being deleted, or whose successor is not there yet, is missing.
    let nodes = own.annotations().get(NODE_COUNT);
    let nodes: usize = nodes.and_then(|count| count.parse().ok()).unwrap_or(1);
    settled.count().saturating_add(1) >= nodes
}

/// Replaces the cached Node by the live one. Returns false if that is gone, which the watch is about to show.
fn take(observed: &mut Observed, live: Option<Node>) -> bool {
    let Some(live) = live else { return false };
    let is_same = |node: &&mut Arc<Node>| node.metadata.uid == live.metadata.uid;
    match observed.nodes.iter_mut().find(is_same) {
        Some(node) => {
            *node = Arc::new(live);
            true
        }
        None => false,
    }
}

fn is_unhealthy(source: &impl Source, claim: &Claim, settings: &Settings) -> bool {
    let nodes = nodes_of(source, claim);
    let nodes: Vec<&Node> = nodes.iter().map(|node| &**node).collect();
    ownership::own_nodes(&nodes, claim)
        .into_iter()
        .any(|node| symptom::first(&settings.repair_rules, node, claim).is_some())
}
