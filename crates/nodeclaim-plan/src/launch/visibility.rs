//! The time during which a create request of ours may still make the instance appear, although reads miss it.

use cloudprovider::{CallOutcome, ErrorClass};
use jiff::Timestamp;

use crate::context::PlanContext;
use crate::time;

/// Returns until when a create request may still take effect.
///
/// The intent to create is stored before the request is sent, and so is an earlier request that went unanswered. Hence
/// neither a crash nor a later answer hides such a request.
pub(crate) fn may_appear_until(context: &PlanContext<'_>) -> Option<Timestamp> {
    // The request before an intent that was not sent is noted by itself.
    let intent = context.record.started.filter(|_| !context.is_intent_unsent());
    let last = match context.last_create {
        Some(call) if is_settled(call) => None,
        Some(call) => Some(call.at).max(intent),
        None => intent,
    };
    let latest = last.max(context.record.unanswered)?;
    Some(time::after(latest, context.settings.create_visibility_timeout))
}

/// Returns true if no answer came to the request.
pub(crate) fn is_unanswered(call: &CallOutcome) -> bool {
    call.error
        .as_ref()
        .is_some_and(|error| error.class == ErrorClass::Transient)
}

/// Returns true if the request was refused: it made nothing. That says nothing about earlier requests, which the claim's
/// note has.
fn is_settled(call: &CallOutcome) -> bool {
    call.error.is_some() && !is_unanswered(call)
}
