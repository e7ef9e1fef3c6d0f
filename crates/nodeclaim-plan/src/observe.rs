//! Gathers what a plan looks at, from any source that shows the cluster.
//!
//! The product reads its caches and the simulator its view, both through [`Source`]. So a simulated run takes the
//! product's own way from the cluster to [`Observed`].

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{InstanceLookup, InstanceTracker, RefusedOfferings};
use instance_types::did_you_mean;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kaito_api::{Claim, KaitoNodeClass, labels, node_class};
use kube::ResourceExt as _;

use crate::context::PlanContext;
use crate::launch::class;
use crate::launch::instance_type::instance_type;
use crate::launch_record::{LaunchFailure, LaunchRecord};
use crate::managed;
use crate::node::ownership;
use crate::node_deletion;
use crate::observed::{Observed, ObservedNode};
use crate::phase::{self, Phase};
use crate::repair::answer::RepairAnswer;
use crate::settings::Settings;

/// Objects of the cluster, as far as the reader knows them.
pub trait Source {
    /// Returns the claims of a name: at most one of each kind.
    fn claims(&self, name: &str) -> Vec<Claim>;

    /// Returns the Nodes whose labels name an instance, as [`instance_names`] reads them.
    fn nodes_of_instance(&self, name: &str) -> Vec<Arc<Node>>;

    /// Returns the Nodes with a provider id.
    fn nodes_with_provider_id(&self, provider_id: &str) -> Vec<Arc<Node>>;

    /// Returns the pods that are bound to a Node.
    fn pods_on(&self, node: &str) -> Vec<Arc<Pod>>;

    /// Returns the volume attachments of a Node.
    fn attachments_of(&self, node: &str) -> Vec<Arc<VolumeAttachment>>;

    /// Returns the node class of a name.
    fn node_class(&self, name: &str) -> Option<Arc<KaitoNodeClass>>;

    /// Returns the names of all node classes.
    fn node_classes(&self) -> Vec<String>;

    /// Returns the live claims that this provisioner manages: those for which [`is_of_fleet`] is true.
    fn fleet(&self) -> Vec<Claim>;
}

/// Gathers everything about one claim. `steady` is the time of the tracker's clock, and `ahead` what the clock of the plan
/// shows beyond it. A claim whose Node was deleted asks the brake for its permission here, since only one asks at a time.
#[must_use]
pub fn observe(
    source: &impl Source,
    tracker: &mut InstanceTracker,
    claim: Claim,
    settings: &Settings,
    steady: Timestamp,
    ahead: SignedDuration,
) -> Observed {
    let name = claim.name();
    let nodes = nodes_of(source, &claim);
    let terminating = |metadata: &kube::core::ObjectMeta| metadata.deletion_timestamp.is_some();
    // Only a drain looks at pods and volumes.
    let drained: Vec<String> =
        if terminating(claim.metadata()) || nodes.iter().any(|node| terminating(&node.metadata)) {
            nodes.iter().map(|node| node.name_any()).collect()
        } else {
            Vec::new()
        };
    let rivals = source.claims(name);
    let has_name_conflict = rivals
        .iter()
        .any(|other| managed::has_name_conflict(&claim, other));
    let facts = if has_name_conflict {
        tracker.view_of_other(name)
    } else {
        tracker.view(name, claim.uid(), steady)
    };
    let facts = facts.by_clock(ahead);
    let noted = LaunchRecord::read(&claim).failure;
    if let Some(failure) = noted.filter(LaunchFailure::has_not_joined)
        && let Some(offering) = &failure.offering
    {
        let at = failure.at.saturating_sub(ahead).unwrap_or(failure.at);
        tracker.learn_noted(offering, at, &failure.error);
    }
    let class_name = class::name(&claim, settings);
    let class = source.node_class(class_name);
    let mut observed = Observed {
        instance: facts.lookup,
        last_call: facts.last_call,
        deferral: facts.deferral,
        failure: facts.failure,
        read_at: facts.read_at,
        state_since: facts.state_since,
        pods: drained.iter().flat_map(|node| source.pods_on(node)).collect(),
        attachments: drained
            .iter()
            .flat_map(|node| source.attachments_of(node))
            .collect(),
        nodes,
        has_name_conflict,
        launches_held: tracker.are_launches_held(),
        full: facts.full,
        near_classes: if class.is_none() {
            near_classes(source, class_name)
        } else {
            Vec::new()
        },
        class,
        refused: refused(tracker, &claim).by_clock(ahead),
        deletion_held_until: None,
        repair: RepairAnswer::NotAsked,
        claim,
    };
    let by_plan = |at: Timestamp| at.saturating_add(ahead).unwrap_or(at);
    if is_node_unwanted(by_plan(steady), &observed, settings) {
        let most = most_deletions(source.fleet().len(), settings.node_deletion_percent);
        let permit = tracker.permit_deletion(observed.claim.uid(), most, steady);
        observed.deletion_held_until = permit.err().map(by_plan);
    }
    observed
}

/// Gathers what decides whether the Node of a claim is healthy, and nothing else.
pub(crate) fn observe_health(source: &impl Source, tracker: &InstanceTracker, claim: &Claim) -> Observed {
    let name = claim.name();
    let rivals = source.claims(name);
    Observed {
        instance: tracker.lookup(name),
        nodes: nodes_of(source, claim),
        has_name_conflict: rivals
            .iter()
            .any(|other| managed::has_name_conflict(claim, other)),
        pods: Vec::new(),
        attachments: Vec::new(),
        last_call: None,
        deferral: None,
        read_at: None,
        state_since: None,
        failure: None,
        full: None,
        class: None,
        near_classes: Vec::new(),
        refused: RefusedOfferings::default(),
        deletion_held_until: None,
        repair: RepairAnswer::NotAsked,
        launches_held: false,
        claim: claim.clone(),
    }
}

/// Returns the names that are like one that no class has.
fn near_classes(source: &impl Source, name: &str) -> Vec<String> {
    if name == node_class::DEFAULT {
        return Vec::new();
    }
    let names = source.node_classes();
    let near = did_you_mean::nearest(name, names.iter().map(String::as_str));
    near.into_iter().map(ToOwned::to_owned).collect()
}

fn refused(tracker: &InstanceTracker, claim: &Claim) -> RefusedOfferings {
    match instance_type(claim) {
        Ok(type_) => tracker.refused_offerings().of_type(&type_),
        Err(_) => RefusedOfferings::default(),
    }
}

/// Reports whether a user deleted the claim's Node, so that the claim is to be deleted.
fn is_node_unwanted(now: Timestamp, observed: &Observed, settings: &Settings) -> bool {
    let context = PlanContext::new(now, observed, settings);
    match phase::of(&context) {
        Phase::NodeDeleted(node) => node_deletion::takes_claim_along(&context, node),
        _ => false,
    }
}

/// Number of claims of a fleet that may be deleted within the time of the brake because of their Nodes.
pub(crate) fn most_deletions(fleet: usize, percent: u8) -> usize {
    (fleet.saturating_mul(percent.into()) / 100).max(1)
}

/// Reports whether a claim counts as a part of the fleet.
#[must_use]
pub fn is_of_fleet(claim: &Claim) -> bool {
    managed::is_managed(claim) && claim.metadata().deletion_timestamp.is_none()
}

/// Gathers what decides whether a Node is orphaned.
#[must_use]
pub fn observe_node(source: &impl Source, tracker: &InstanceTracker, node: Arc<Node>) -> ObservedNode {
    let instance = instance_names(&node).into_iter().next();
    let name = instance.as_deref().unwrap_or_default();
    ObservedNode {
        claim_exists: source
            .claims(name)
            .iter()
            .any(|claim| ownership::may_own(claim, &node)),
        // Of a Node that names no instance nothing is known.
        instance: instance.map_or(InstanceLookup::Unknown, |name| tracker.lookup(&name)),
        node,
    }
}

/// Names of the instance that a Node's labels give: one, whatever the spelling of the label.
#[must_use]
pub fn instance_names(node: &Node) -> Vec<String> {
    let found = |key: &&str| node.labels().get(*key).cloned();
    let mut names: Vec<String> = labels::INSTANCE_NAME.iter().filter_map(found).collect();
    names.dedup();
    names
}

/// Reports whether something is under way for a claim of ours, so that its instance must be looked at often.
#[must_use]
pub fn is_unsettled(claim: &Claim) -> bool {
    let protected = claim
        .finalizers()
        .iter()
        .any(|f| f == labels::TERMINATION_FINALIZER);
    let live = claim.metadata().deletion_timestamp.is_none();
    // A stopped instance may stay so for days.
    let stopped = claim
        .condition(ClaimConditionType::Registered)
        .is_some_and(|condition| condition.reason == ClaimReason::InstanceStopped.as_str());
    // An unhealthy Node may stay so, too. Its instance is complete.
    let unhealthy = claim.condition(ClaimConditionType::NodeHealthy).is_some();
    let settled = (claim.is_true(ClaimConditionType::Ready) || stopped || unhealthy) && protected && live;
    managed::is_managed(claim) && !settled
}

/// Returns the Nodes of a claim: those whose labels name its instance, and those with its provider id.
pub(crate) fn nodes_of(source: &impl Source, claim: &Claim) -> Vec<Arc<Node>> {
    let provider_id = Some(claim.provider_id()).filter(|id| !id.is_empty());
    let recorded = provider_id.map(|id| source.nodes_with_provider_id(id));
    let all: BTreeMap<String, Arc<Node>> = source
        .nodes_of_instance(claim.name())
        .into_iter()
        .chain(recorded.unwrap_or_default())
        .map(|node| (node.name_any(), node))
        .collect();
    all.into_values().collect()
}
