//! Waiting: the launch steps that ask the cloud for no change.

use std::time::Duration;

use cloudprovider::{CloudCall, Instance, InstanceState, Ownership};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status};
use kaito_api::labels::{LAUNCH_STARTED, OPERATION_URL};

use crate::claim_edit::ClaimEdit;
use crate::condition;
use crate::context::PlanContext;
use crate::garbage;
use crate::launch::decision::{LaunchDecision, LaunchState};
use crate::launch::error_reasons::Origin;
use crate::launch::{backoff, choice, failure, replace};
use crate::node::edit::NodeEdit;
use crate::node::facts::has_finalizer;
use crate::node::matching::{self, NodeMatch};
use crate::node::ownership;
use crate::{initialization, instance_deletion, time};

/// Time until a stopped instance is looked at again; listings show sooner that it runs.
const STOPPED_POLL: SignedDuration = SignedDuration::from_mins(5);
/// Time between the intent to create and the accepted request above which the latter is noted.
const START_TOLERANCE: SignedDuration = SignedDuration::from_mins(2);
/// Time in which a Node that has just joined changes most.
const SETTLING: SignedDuration = SignedDuration::from_secs(5);

/// Waits for the claim of the other kind that has the name to go. Nothing is created, nothing is changed.
pub(crate) fn name_conflict<'a>(context: &PlanContext<'a>) -> LaunchDecision<'a> {
    let cause = format!(
        "a claim of the other kind is named {} and was created first",
        context.name
    );
    let update = condition::unmet(ClaimReason::ClaimNameConflict, &cause);
    LaunchDecision {
        requeue: Some(context.poll),
        ..LaunchDecision::new("claim_name_conflict", LaunchState::NotLaunched(update))
    }
}

/// Waits for the settings to name the cluster of the instance again. Nothing is created, changed or released.
pub(crate) fn other_cluster<'a>(context: &PlanContext<'a>) -> LaunchDecision<'a> {
    let cause = context.cluster_conflict.clone().unwrap_or_default();
    let reason = ClaimReason::ClusterIdChanged;
    LaunchDecision {
        requeue: Some(context.poll),
        ..LaunchDecision::new("other_cluster", LaunchState::NoSingleNode { reason, cause })
    }
}

/// Waits for the first listing of the cloud.
pub(crate) fn unknown<'a>(context: &PlanContext<'a>) -> LaunchDecision<'a> {
    let requeue = Some(context.poll);
    // After a restart the Node that was accepted before stays accepted: no condition flaps and no call is made.
    if let NodeMatch::One(node) = matching::find(context)
        && ownership::is_recorded(node, context.claim)
    {
        return LaunchDecision {
            requeue,
            ..LaunchDecision::new("joined", LaunchState::Joined(NodeEdit::new(node)))
        };
    }
    let read = || CloudCall::Read {
        name: context.name.to_owned(),
    };
    LaunchDecision {
        cloud: context.last_create.map(|_| read()),
        requeue,
        ..LaunchDecision::new("awaiting_listing", LaunchState::Unchanged)
    }
}

/// Waits for an instance of the same name to go that is not the claim's.
pub(crate) fn foreign<'a>(context: &PlanContext<'a>, instance: &Instance) -> LaunchDecision<'a> {
    let name = &instance.name;
    let requeue = Some(context.poll);
    let of_claim = matches!(instance.owner, Ownership::Ours { .. });
    if of_claim && instance.state == InstanceState::Deleting {
        let cause = format!("instance {name} of an earlier claim is being deleted");
        return LaunchDecision {
            requeue,
            ..LaunchDecision::pending("earlier_instance_deleting", ClaimReason::InstanceDeleting, &cause)
        };
    }
    if of_claim && garbage::is_of_cluster(instance, context.settings) {
        let cause = format!("instance {name} of an earlier claim is still there and is about to be deleted");
        return LaunchDecision {
            requeue,
            ..LaunchDecision::pending("earlier_instance", ClaimReason::InstanceDeleting, &cause)
        };
    }
    let cause = if of_claim {
        format!("instance {name} exists and was created for another claim")
    } else {
        let kind = context.claim.claim_kind().as_str();
        format!("instance {name} exists and was not created for this {kind}")
    };
    let update = condition::unmet(ClaimReason::InstanceNameConflict, &cause);
    LaunchDecision {
        requeue,
        ..LaunchDecision::new("instance_name_conflict", LaunchState::NotLaunched(update))
    }
}

/// Waits for an instance that was stopped in the cloud to be started there. It is neither replaced nor deleted.
pub(crate) fn stopped<'a>(instance: &Instance) -> LaunchDecision<'a> {
    let reason = ClaimReason::InstanceStopped;
    let cause = format!("instance {} is stopped", instance.name);
    LaunchDecision {
        requeue: Some(time::to_std(STOPPED_POLL)),
        ..LaunchDecision::new("instance_stopped", LaunchState::NoSingleNode { reason, cause })
    }
}

/// Waits for an instance that is being created or changed; a Node that exists already is taken.
pub(crate) fn creating<'a>(context: &PlanContext<'a>, instance: &Instance) -> LaunchDecision<'a> {
    let requeue = Some(context.poll);
    let mut settled_in = None;
    if let NodeMatch::One(node) = matching::find(context) {
        settled_in = settling(context, node);
        if settled_in.is_none() {
            return LaunchDecision {
                requeue,
                ..LaunchDecision::joined(context.claim, node)
            };
        }
    }
    if replace::is_overdue(context, instance) {
        return replace::overdue(context, instance);
    }
    // Seconds into a scale-up or an image upgrade a Node may be missing; the state will show how it ends.
    let decision = if context.claim.is_true(ClaimConditionType::Launched) {
        LaunchDecision::new("instance_changing", LaunchState::Unchanged)
    } else if instance.state == InstanceState::Creating {
        LaunchDecision::new(
            "instance_creating",
            LaunchState::NotLaunched(condition::requested(context.name)),
        )
    } else {
        let cause = format!(
            "instance {} is being created (state {})",
            instance.name,
            instance.state.as_str()
        );
        LaunchDecision::pending("instance_creating", ClaimReason::InstanceCreating, &cause)
    };
    LaunchDecision {
        claim_edit: note_operation(context),
        requeue: requeue.into_iter().chain(settled_in).min(),
        ..decision
    }
}

/// Stores what a restart would lose: where the operation can be followed. An instance that we did not ask for starts when
/// it is first seen.
fn note_operation(context: &PlanContext<'_>) -> ClaimEdit {
    let mut edit = ClaimEdit::default();
    if let Some(call) = context.accepted_create {
        edit.set(context.claim, OPERATION_URL, call.operation_url.clone());
    }
    let started = failure::started(context).unwrap_or(context.now);
    let is_late = |noted| started > time::after(noted, START_TOLERANCE);
    if context.record.started.is_none_or(is_late) {
        edit.set(context.claim, LAUNCH_STARTED, Some(started.to_string()));
    }
    edit
}

/// Returns the time for which a Node that has just joined is left alone. The programs of the cluster write it then, which makes
/// our writes fail. One that is fit for work is registered and initialized in one write.
fn settling(context: &PlanContext<'_>, node: &Node) -> Option<Duration> {
    if has_finalizer(node) || initialization::is_fit(context.claim, node) {
        return None;
    }
    let joined = node.metadata.creation_timestamp.as_ref()?.0;
    let left = time::remaining(time::after(joined, SETTLING), context.now)?;
    // Clocks differ.
    (left <= time::to_std(SETTLING)).then_some(left)
}

/// Waits for the Node of an instance that is complete, and replaces the instance once the wait is too long.
pub(crate) fn succeeded<'a>(context: &PlanContext<'a>, instance: &Instance) -> LaunchDecision<'a> {
    match matching::find(context) {
        NodeMatch::One(node) => match settling(context, node) {
            None => LaunchDecision::joined(context.claim, node),
            left => LaunchDecision {
                requeue: left,
                ..LaunchDecision::new("node_settling", LaunchState::Unchanged)
            },
        },
        NodeMatch::Many(names) => LaunchDecision::several_nodes(context.name, &names),
        NodeMatch::None(cause) => awaiting_node(context, instance, cause),
    }
}

fn awaiting_node<'a>(context: &PlanContext<'a>, instance: &Instance, cause: String) -> LaunchDecision<'a> {
    let timeout = context.settings.registration_timeout;
    // An instance that was stopped, or changed, gets the whole time again.
    let left = match missing_since(context.claim).map(|since| Some(since).max(context.state_since)) {
        Some(Some(since)) => time::remaining(time::after(since, timeout), context.now),
        Some(None) | None => Some(time::to_std(timeout)),
    };
    if left.is_none() {
        return replace::never_joined(context, instance, &cause);
    }
    let reason = ClaimReason::NodeNotFound;
    LaunchDecision {
        requeue: left,
        ..LaunchDecision::new("awaiting_node", LaunchState::NoSingleNode { reason, cause })
    }
}

/// Returns since when the instance is complete without a Node: the transition time of the condition that says so.
/// Without that condition the wait begins now.
fn missing_since(claim: &Claim) -> Option<Timestamp> {
    let registered = claim.condition(ClaimConditionType::Registered)?;
    let is_missing =
        registered.status != Status::True && registered.reason == ClaimReason::NodeNotFound.as_str();
    let since = registered.since.filter(|_| is_missing)?;
    match claim {
        Claim::Machine(_) => (registered.status == Status::False).then_some(since),
        // `Registered` is `Unknown` from the claim's beginning; `Launched` shows when the instance was complete.
        Claim::NodeClaim(_) => {
            let launched = claim.condition(ClaimConditionType::Launched)?;
            let done = launched.since.filter(|_| launched.status == Status::True)?;
            Some(since.max(done))
        }
    }
}

/// Waits for an instance to be gone that is being deleted.
pub(crate) fn deleting<'a>(context: &PlanContext<'a>) -> LaunchDecision<'a> {
    if let Some(update) = instance_deletion::stuck(context) {
        return LaunchDecision {
            requeue: Some(context.poll),
            ..LaunchDecision::new("instance_deleting", LaunchState::NotLaunched(update))
        };
    }
    // If we deleted it because it failed, that failure is what people need to know.
    let decision = match &context.record.failure {
        Some(failure) => {
            let update = match backoff::current(context) {
                Some(backoff) => backoff.condition(),
                None => choice::after_failure(context, &failure.error, Origin::Operation),
            };
            LaunchDecision::new("instance_deleting", LaunchState::NotLaunched(update))
        }
        None => {
            let cause = format!("instance {} is being deleted", context.name);
            LaunchDecision::pending("instance_deleting", ClaimReason::InstanceDeleting, &cause)
        }
    };
    LaunchDecision {
        requeue: Some(context.poll),
        ..decision
    }
}
