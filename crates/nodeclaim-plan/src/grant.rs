//! The consent to replace an unhealthy Node: it depends on the whole fleet, on the API server and on the cloud.

use std::sync::Arc;

use cloudprovider::InstanceTracker;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::labels::{NODE_COUNT, WORKSPACE_UID};
use kube::ResourceExt as _;

use crate::context::PlanContext;
use crate::fleet_health::{self, FleetHealth};
use crate::observe::{Source, most_deletions};
use crate::observed::Observed;
use crate::outdated;
use crate::phase::{self, Phase};
use crate::repair;
use crate::repair::answer::{MASS_FAILURE_HOLD, RepairAnswer, RepairHold};
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
        tracker.end_mass_failure();
        observed.repair = RepairAnswer::Held(RepairHold::NodeUnread);
        return;
    };
    if !take(observed, live) || due_node(by_plan(steady), observed, settings).is_none() {
        return;
    }
    observed.repair = decide(source, tracker, observed, settings, (steady, ahead));
}

fn decide(
    source: &impl Source,
    tracker: &mut InstanceTracker,
    observed: &Observed,
    settings: &Settings,
    (steady, ahead): (Timestamp, SignedDuration),
) -> RepairAnswer {
    let by_plan = |at: Timestamp| at.saturating_add(ahead).unwrap_or(at);
    let is_heard = |at: Timestamp| steady.duration_since(at) <= settings.cloud_silence;
    if !tracker.listed_at().is_some_and(is_heard) {
        tracker.end_mass_failure();
        return RepairAnswer::Held(RepairHold::CloudSilent);
    }
    let (now, claims) = (by_plan(steady), source.fleet());
    let own = observed.claim.uid();
    let health = fleet_health::of((source, tracker), &claims, own, settings, now);
    let has_ill = health.unhealthy > 0;
    if is_outdated(now, observed, settings) && (has_ill || !others_are_settled(&claims, &observed.claim)) {
        return RepairAnswer::Held(RepairHold::Others);
    }
    let most = most_deletions(claims.len(), settings.node_deletion_percent);
    let Some(most) = permitted(tracker, &health, most, steady) else {
        return RepairAnswer::Held(RepairHold::Many);
    };
    match tracker.permit_deletion(own, most, steady) {
        Ok(()) => RepairAnswer::Granted,
        Err(until) => RepairAnswer::Held(RepairHold::Brake(by_plan(until))),
    }
}

/// Returns the number of Nodes that may be replaced in the time of the brake. After a failure of many that lasts, it is one.
/// `None` if the cause is probably none of the Nodes.
fn permitted(
    tracker: &mut InstanceTracker,
    health: &FleetHealth,
    most: usize,
    steady: Timestamp,
) -> Option<usize> {
    if health.unhealthy <= most {
        tracker.end_mass_failure();
        return Some(most);
    }
    let since = tracker.record_mass_failure(health.unhealthy, steady);
    let has_lasted = steady.duration_since(since) >= MASS_FAILURE_HOLD;
    (has_lasted && health.has_ready_other).then_some(1)
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
