//! The pause after a failed launch that no other offering would have saved. Refused offerings are in `choice`.

use cloudprovider::{CallKind, ErrorClass, ProviderError};
use jiff::Timestamp;

use crate::backoff;
use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::launch::error_reasons::{self, Origin};
use crate::launch_record::LaunchFailure;
use crate::time;

/// A failure that a new create request has to wait for.
pub(crate) struct LaunchBackoff {
    /// End of the pause.
    pub(crate) until: Timestamp,
    /// Error that the pause follows.
    pub(crate) error: ProviderError,
    /// Time of a terminal refusal that is still to be noted on the claim.
    pub(crate) unrecorded: Option<Timestamp>,
    origin: Origin,
}

impl LaunchBackoff {
    /// Returns the update of `Launched` for as long as nothing newer is known.
    pub(crate) fn condition(&self) -> ConditionUpdate {
        error_reasons::launched(&self.error, self.origin)
    }
}

/// Returns the newest failure that still counts, even if its pause is over.
pub(crate) fn current(context: &PlanContext<'_>) -> Option<LaunchBackoff> {
    let failure = context
        .record
        .failure
        .as_ref()
        .filter(|failure| !failure.is_of_offering());
    let recorded = failure.map(|failure| LaunchBackoff {
        until: until(failure, context),
        origin: Origin::Operation,
        unrecorded: None,
        error: failure.error.clone(),
    });
    match (recorded, refused(context)) {
        (Some(recorded), Some(refused)) if refused.until >= recorded.until => Some(refused),
        (Some(recorded), _) => Some(recorded),
        (None, refused) => refused,
    }
}

/// Returns when another launch may be tried after a noted failure.
pub(crate) fn until(failure: &LaunchFailure, context: &PlanContext<'_>) -> Timestamp {
    let class = match failure.error.class {
        class if class.is_terminal() => class,
        // An instance that came and went has cost minutes: pause as for capacity, whatever the class.
        _ => ErrorClass::Capacity,
    };
    let pause = backoff::pause(CallKind::Create, class, failure.count, context.settings);
    let pause = pause.max(failure.error.retry_after.unwrap_or_default());
    time::after(
        failure.at,
        backoff::spread(pause, context.claim.uid(), failure.count),
    )
}

fn refused(context: &PlanContext<'_>) -> Option<LaunchBackoff> {
    let call = context.last_create?;
    let error = call.error.clone()?;
    if context.refused_offering().is_some() {
        return None;
    }
    // Once noted, only the annotation counts: it knows which generation was refused.
    if context.record.failed_at == Some(call.at) {
        return None;
    }
    Some(LaunchBackoff {
        until: backoff::due(call, context.claim.uid(), context.settings)?,
        origin: Origin::RefusedWrite(call.failures),
        unrecorded: error.class.is_terminal().then_some(call.at),
        error,
    })
}
