//! Asking for a pool of ours to be deleted, over and over until it is. The only place that asks for it on a
//! claim's behalf; its callers have made sure that the pool is ours.

use std::time::Duration;

use cloudprovider::{
    AgentPool, CallKind, CallOutcome, CloudCall, ErrorClass, ProviderError, ProvisioningState,
};
use jiff::SignedDuration;

use crate::backoff;
use crate::context::Ctx;

/// How long an accepted request is trusted to show in the pool's state.
const TRUSTED: SignedDuration = SignedDuration::from_mins(1);

/// One step towards a pool's end.
pub(crate) struct Removal<'a> {
    /// What to ask.
    pub(crate) cloud: Option<CloudCall>,
    /// When to look again.
    pub(crate) requeue: Option<Duration>,
    /// What the cloud had against it the last time.
    pub(crate) refusal: Option<&'a ProviderError>,
}

/// The next step towards the end of a pool that is ours.
pub(crate) fn delete<'a>(ctx: &Ctx<'a>, pool: &AgentPool) -> Removal<'a> {
    let poll = Some(backoff::wait(ctx.settings.poll));
    let ask = || CloudCall::Delete {
        name: pool.name.clone(),
        etag: pool.etag.clone(),
    };
    if pool.state == ProvisioningState::Deleting {
        return Removal {
            cloud: None,
            requeue: poll,
            refusal: None,
        };
    }
    let call = match ctx.last_call {
        Some(call) if matches!(call.kind, CallKind::Delete | CallKind::Abort) => call,
        _ => {
            return Removal {
                cloud: Some(ask()),
                requeue: poll,
                refusal: None,
            };
        }
    };
    let Some(error) = &call.error else {
        let cloud = (!is_fresh(call, ctx) || has_ended(call, pool)).then(ask);
        return Removal {
            cloud,
            requeue: poll,
            refusal: None,
        };
    };
    let refusal = Some(error);
    if is_stuck(call, error, pool) {
        let cloud = Some(CloudCall::Abort {
            name: pool.name.clone(),
        });
        return Removal {
            cloud,
            requeue: poll,
            refusal,
        };
    }
    match backoff::due(call, ctx.settings).and_then(|due| backoff::remaining(due, ctx.now)) {
        None => Removal {
            cloud: Some(ask()),
            requeue: poll,
            refusal,
        },
        left => Removal {
            cloud: fresh_look(error, pool),
            requeue: left,
            refusal,
        },
    }
}

/// Whether an accepted request is so recent that its effect may not show yet.
pub(crate) fn is_fresh(call: &CallOutcome, ctx: &Ctx<'_>) -> bool {
    call.error.is_none() && ctx.now < backoff::after(call.at, TRUSTED)
}

// A cancelled making is over; only then can the pool go.
fn has_ended(call: &CallOutcome, pool: &AgentPool) -> bool {
    call.kind == CallKind::Abort && pool.state != ProvisioningState::Creating
}

/// A pool that is being made may refuse to go until its making is cancelled.
fn is_stuck(call: &CallOutcome, error: &ProviderError, pool: &AgentPool) -> bool {
    call.kind == CallKind::Delete
        && error.class == ErrorClass::Busy
        && pool.state == ProvisioningState::Creating
}

/// The pool is not as we believed: read it while waiting, so that the next request names what is there.
fn fresh_look(error: &ProviderError, pool: &AgentPool) -> Option<CloudCall> {
    matches!(error.class, ErrorClass::Precondition | ErrorClass::NotFound).then(|| CloudCall::Read {
        name: pool.name.clone(),
    })
}
