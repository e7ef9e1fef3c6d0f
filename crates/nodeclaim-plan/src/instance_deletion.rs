//! Deleting an instance: the request is repeated until it takes effect. The only place that deletes on a claim's behalf;
//! its callers have made sure that the claim owns the instance.

use std::time::Duration;

use cloudprovider::{CallKind, CallOutcome, CloudCall, ErrorClass, Instance, InstanceState, ProviderError};
use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::ClaimReason;
use plan::backoff::doubling;

use crate::condition::{self, ConditionUpdate};
use crate::context::PlanContext;
use crate::{backoff, time};

/// Time that an accepted request may take to show in the instance's state. It doubles with each request that was accepted
/// before and that the cloud did not carry out, up to the longest.
const EFFECT_DELAY: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(1), SignedDuration::from_mins(10));

/// Time after which an unfinished deletion is reported. Recorded deletions took about a minute.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// One step towards the end of an instance.
pub(crate) struct InstanceDeletion<'a> {
    /// Call to the cloud.
    pub(crate) cloud: Option<CloudCall>,
    /// Time until the next look.
    pub(crate) requeue: Option<Duration>,
    /// Error of the last request.
    pub(crate) refusal: Option<&'a ProviderError>,
}

/// Returns the next step towards the end of an instance that the claim owns.
pub(crate) fn next<'a>(context: &PlanContext<'a>, instance: &Instance) -> InstanceDeletion<'a> {
    let step = |cloud, refusal| InstanceDeletion {
        cloud,
        requeue: Some(context.poll),
        refusal,
    };
    if instance.state == InstanceState::Deleting {
        return step(None, None);
    }
    if let Some(left) = context.deferred(CallKind::Delete) {
        return InstanceDeletion {
            requeue: Some(left),
            ..step(None, None)
        };
    }
    let call = match context.last_call {
        Some(call) if matches!(call.kind, CallKind::Delete | CallKind::Abort) => call,
        _ => return step(Some(delete(instance)), None),
    };
    let Some(error) = &call.error else {
        let is_due = !is_fresh(call, context.now) || has_ended(call, instance);
        return step(is_due.then(|| delete(instance)), None);
    };
    if is_stuck(call, error, instance) {
        let name = instance.name.clone();
        return step(Some(CloudCall::Abort { name }), Some(error));
    }
    match backoff::remaining(context, call) {
        None => step(Some(delete(instance)), Some(error)),
        left => InstanceDeletion {
            requeue: left,
            ..step(read_if_changed(error, instance), Some(error))
        },
    }
}

/// Returns the report of an instance that is being deleted for too long, as this process saw it.
pub(crate) fn stuck(context: &PlanContext<'_>) -> Option<ConditionUpdate> {
    let since = context.state_since?;
    (context.now >= time::after(since, STUCK_AFTER)).then(|| {
        let cause = format!(
            "instance {} is being deleted for more than {} minutes",
            context.name,
            STUCK_AFTER.as_mins()
        );
        condition::unmet(ClaimReason::InstanceNotDeleted, &cause)
    })
}

/// Returns the cloud's reason why an instance that we had it delete is still there.
pub(crate) fn failure<'a>(context: &PlanContext<'a>, instance: &'a Instance) -> Option<&'a ProviderError> {
    let deleted = context
        .last_call
        .is_some_and(|call| call.kind == CallKind::Delete);
    let failed = instance.state == InstanceState::Failed;
    instance.failure.as_ref().filter(|_| deleted && failed)
}

/// Returns true if the request was accepted so recently that its effect may not show yet.
pub(crate) fn is_fresh(call: &CallOutcome, now: Timestamp) -> bool {
    let (first, longest) = EFFECT_DELAY;
    call.error.is_none() && now < time::after(call.at, doubling(first, longest, call.repeats))
}

fn delete(instance: &Instance) -> CloudCall {
    CloudCall::Delete {
        name: instance.name.clone(),
        version: instance.version.clone(),
    }
}

// A canceled creation has ended; only then can the instance be deleted.
fn has_ended(call: &CallOutcome, instance: &Instance) -> bool {
    call.kind == CallKind::Abort && instance.state != InstanceState::Creating
}

// A cloud may refuse to delete an instance until its creation is canceled.
fn is_stuck(call: &CallOutcome, error: &ProviderError, instance: &Instance) -> bool {
    call.kind == CallKind::Delete
        && error.class == ErrorClass::Busy
        && instance.state == InstanceState::Creating
}

/// Returns a read if the instance is not as we believed, so that the next request names what is there.
fn read_if_changed(error: &ProviderError, instance: &Instance) -> Option<CloudCall> {
    let is_changed = matches!(error.class, ErrorClass::Precondition | ErrorClass::NotFound);
    is_changed.then(|| CloudCall::Read {
        name: instance.name.clone(),
    })
}
