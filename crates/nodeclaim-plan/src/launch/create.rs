//! Creating: a claim without an instance. The only place that sends a create request.

use cloudprovider::{CallKind, CapacityType, CloudCall, ErrorClass, Offering};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::{
    CAPACITY_TYPE, LAUNCH_CLASS, LAUNCH_OFFERING, LAUNCH_STARTED, LAUNCH_UNANSWERED, LAUNCHED_IN,
    OPERATION_URL, ZONE,
};
use kube::ResourceExt as _;

use crate::claim_edit::ClaimEdit;
use crate::condition;
use crate::context::PlanContext;
use crate::launch::backoff::{self, LaunchBackoff};
use crate::launch::decision::{LaunchDecision, LaunchState};
use crate::launch::error_reasons::{self, Origin};
use crate::launch::offerings::{offerings, zone_label};
use crate::launch::spec::{self, launch_spec};
use crate::launch::{choice, class, failure, visibility};
use crate::launch_record::LaunchFailure;
use crate::node::edit;
use crate::node::facts::is_ready;
use crate::{outdated, time};

/// Decides for a claim whose instance was absent in `reads` live reads.
pub(crate) fn decide<'a>(context: &PlanContext<'a>, reads: u32) -> LaunchDecision<'a> {
    let class = match class::of(context) {
        Ok(class) => class,
        // Nothing is asked for, so nothing is paid for.
        Err(missing) => {
            let update = condition::unmet(ClaimReason::NodeClassNotFound, &missing.to_string());
            return LaunchDecision::new("no_node_class", LaunchState::NotLaunched(update));
        }
    };
    let allowed = offerings(context.claim, class, context.settings);
    let (spec, allowed) =
        match launch_spec(context.claim, class, context.settings).and_then(|spec| Ok((spec, allowed?))) {
            Ok(valid) => valid,
            Err(error) => {
                let reason = match context.claim {
                    Claim::Machine(_) => ClaimReason::InvalidMachine,
                    Claim::NodeClaim(_) => ClaimReason::InvalidNodeClaim,
                };
                let update = condition::unmet(reason, &error.to_string());
                return LaunchDecision::new("invalid", LaunchState::NotLaunched(update));
            }
        };
    if context.launches_held {
        let cause = "another claim's instance is of another cluster, so the settings are in doubt";
        let update = condition::unmet(ClaimReason::ClusterIdChanged, cause);
        return LaunchDecision {
            requeue: Some(context.poll),
            ..LaunchDecision::new("launches_held", LaunchState::NotLaunched(update))
        };
    }
    if let Some(decision) = leftover_nodes(context, reads) {
        return decision;
    }
    if let Some(decision) = awaiting_visibility(context) {
        return decision;
    }
    if let Some(decision) = awaiting_room(context) {
        return decision;
    }
    if let Some(decision) = deferred(context) {
        return decision;
    }
    let backoff = backoff::current(context);
    let choice = choice::choose(context, &allowed);
    let update = match &backoff {
        Some(backoff) => backoff.condition(),
        None => last_refusal(context, &allowed).unwrap_or_else(|| choice.condition(context)),
    };
    let state = LaunchState::NotLaunched(update);
    match (backoff, &choice.offering) {
        (Some(backoff), _) if time::remaining(backoff.until, context.now).is_some() => {
            back_off(context, &backoff, state)
        }
        (_, None) => LaunchDecision {
            claim_edit: note_refusal(context),
            requeue: choice.until.and_then(|until| time::remaining(until, context.now)),
            ..LaunchDecision::new("backing_off", state)
        },
        (_, Some(offering)) => LaunchDecision {
            claim_edit: intent(context, offering),
            cloud: Some(CloudCall::Create(Box::new(spec::take(spec, offering)))),
            requeue: Some(context.poll),
            ..LaunchDecision::new("create", state)
        },
    }
}

/// Returns the words of the last refusal, for a claim that has no other offering and therefore asks for the same again.
fn last_refusal(context: &PlanContext<'_>, allowed: &[Offering]) -> Option<condition::ConditionUpdate> {
    let [only] = allowed else { return None };
    let answered = context.refused_offering().and_then(|call| {
        let origin = Origin::RefusedWrite(call.failures);
        Some((call.error.as_ref()?, origin))
    });
    let noted = context
        .record
        .failure
        .as_ref()
        .filter(|failure| failure.is_of_offering());
    let of_only = |failure: &&LaunchFailure| failure.offering.as_ref() == Some(only);
    let noted = noted
        .filter(of_only)
        .map(|failure| (&failure.error, Origin::Operation));
    let is_plain = only.zone.is_none() && only.capacity_type == CapacityType::OnDemand;
    let (error, origin) = answered.or(noted).filter(|_| is_plain)?;
    Some(error_reasons::launched(error, origin))
}

/// Notes a refusal that will not change by itself, so that a restart does not repeat the request.
fn note_refusal(context: &PlanContext<'_>) -> ClaimEdit {
    let mut edit = ClaimEdit::default();
    let call = context.refused_offering();
    let unnoted = call.filter(|call| context.record.failed_at != Some(call.at));
    if let Some((call, error)) = unnoted.and_then(|call| Some((call, call.error.as_ref()?)))
        && error.class.is_terminal()
    {
        failure::note(context, call.at, error, &mut edit);
    }
    edit
}

/// Waits until the pause after a failure is over.
fn back_off<'a>(
    context: &PlanContext<'a>,
    backoff: &LaunchBackoff,
    state: LaunchState<'a>,
) -> LaunchDecision<'a> {
    let mut claim_edit = ClaimEdit::default();
    if let Some(at) = backoff.unrecorded {
        failure::note(context, at, &backoff.error, &mut claim_edit);
    }
    // After such an answer the instance may exist: look before asking again.
    let is_unsure = matches!(
        backoff.error.class,
        ErrorClass::Precondition | ErrorClass::Transient
    );
    LaunchDecision {
        claim_edit,
        cloud: is_unsure.then(|| read(context)),
        requeue: time::remaining(backoff.until, context.now),
        ..LaunchDecision::new("backing_off", state)
    }
}

/// Waits for room in a full cluster. One claim asks for all, and shows the cloud's refusal. It may have stopped to ask, so
/// the others wait twice its longest pause at most.
fn awaiting_room<'a>(context: &PlanContext<'a>) -> Option<LaunchDecision<'a>> {
    let full = context.full?;
    let (_, pause) = context.settings.capacity_backoff;
    let left = time::remaining(time::after(full.at, pause.saturating_mul(2)), context.now)?;
    let cause = format!(
        "the cluster has as many instances as it may have; claim {} asks for room and shows the cloud's answer",
        full.claim
    );
    Some(LaunchDecision {
        requeue: Some(left),
        ..LaunchDecision::pending("awaiting_room", ClaimReason::WaitingForRoom, &cause)
    })
}

/// Waits until a limit of our own lets the request pass. Nothing was sent, so nothing is noted.
fn deferred<'a>(context: &PlanContext<'a>) -> Option<LaunchDecision<'a>> {
    let left = context.deferred(CallKind::Create)?;
    let update = match backoff::current(context) {
        Some(backoff) => backoff.condition(),
        None => match context
            .record
            .failure
            .as_ref()
            .filter(|failure| failure.is_of_offering())
        {
            Some(failure) => choice::after_failure(context, &failure.error, Origin::Operation),
            None => condition::pending(ClaimReason::WaitingForCluster, "the request waits for its turn"),
        },
    };
    Some(LaunchDecision {
        requeue: Some(left),
        ..LaunchDecision::new("deferred", LaunchState::NotLaunched(update))
    })
}

/// Stores that an instance is about to be asked for, together with our finalizer. Forgets the request before, unless it
/// may still take effect.
fn intent(context: &PlanContext<'_>, offering: &Offering) -> ClaimEdit {
    let mut edit = note_refusal(context);
    edit.protect(context.claim);
    // Strings only, so this cannot fail.
    edit.set(
        context.claim,
        LAUNCH_OFFERING,
        serde_json::to_string(offering).ok(),
    );
    let class = outdated::mark(context.class);
    edit.set(context.claim, LAUNCH_CLASS, Some(class));
    // As Karpenter labels its claims, so that both show what was bought in the same place.
    let bought = offering.capacity_type.as_str().to_owned();
    edit.set_label(context.claim, CAPACITY_TYPE, Some(bought));
    let limits = &context.settings.launch_limits;
    let zone = offering.zone.as_deref();
    edit.set_label(context.claim, ZONE, zone.map(|zone| zone_label(zone, limits)));
    if context.is_intent_unsent() {
        // The stored intent still holds.
        return edit;
    }
    let earlier = match context.last_call {
        None => context.record.started,
        Some(_) => context
            .last_create
            .filter(|call| visibility::is_unanswered(call))
            .map(|call| call.at),
    };
    if let Some(at) = earlier {
        edit.set(context.claim, LAUNCH_UNANSWERED, Some(at.to_string()));
    }
    let place = Some(&context.settings.place).filter(|place| !place.is_empty());
    edit.set(context.claim, LAUNCHED_IN, place.cloned());
    edit.set(context.claim, LAUNCH_STARTED, Some(context.now.to_string()));
    edit.set(context.claim, OPERATION_URL, None);
    edit
}

/// Waits for a request that was accepted and whose instance no read shows yet.
///
/// After a restart only the intent is left of a request. That request is repeated: the same name and body make the same
/// instance.
fn awaiting_visibility<'a>(context: &PlanContext<'a>) -> Option<LaunchDecision<'a>> {
    context.accepted_create?;
    time::remaining(visibility::may_appear_until(context)?, context.now)?;
    Some(LaunchDecision {
        cloud: Some(read(context)),
        requeue: Some(context.poll),
        ..LaunchDecision::new(
            "awaiting_visibility",
            LaunchState::NotLaunched(condition::requested(context.name)),
        )
    })
}

/// Removes the Nodes of an instance that is gone before another is created, or there would be two Nodes.
fn leftover_nodes<'a>(context: &PlanContext<'a>, reads: u32) -> Option<LaunchDecision<'a>> {
    let nodes: &[&Node] = &context.own_nodes;
    let first = nodes.first()?;
    let requeue = Some(context.poll);
    // A Ready Node contradicts an absent instance: perhaps these are another cluster's instances.
    if reads < 2 || nodes.iter().any(|node| is_ready(node)) {
        return Some(LaunchDecision {
            cloud: Some(read(context)),
            requeue,
            ..LaunchDecision::new("instance_missing", LaunchState::Unchanged)
        });
    }
    let cause = format!(
        "instance {} is gone; Node {} is being removed",
        context.name,
        first.name_any()
    );
    Some(LaunchDecision {
        writes: nodes.iter().flat_map(|node| edit::remove(node)).collect(),
        requeue,
        ..LaunchDecision::pending("leftover_node", ClaimReason::AwaitingCloud, &cause)
    })
}

fn read(context: &PlanContext<'_>) -> CloudCall {
    CloudCall::Read {
        name: context.name.to_owned(),
    }
}
