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
    if context.last_create.is_some_and(is_settled) {
        return None;
    }
    let sent = context.last_create.map(|call| call.at);
    let latest = sent.max(context.record.started).max(context.record.unanswered)?;
    Some(time::after(latest, context.settings.create_visibility_timeout))
}

/// Returns true if no answer came to the request.
pub(crate) fn is_unanswered(call: &CallOutcome) -> bool {
    call.error
        .as_ref()
        .is_some_and(|error| error.class == ErrorClass::Transient)
}

/// Returns true if the request was refused at the first try: it made nothing, and no earlier one is open. A refusal after
/// other failures says nothing about the earlier requests.
fn is_settled(call: &CallOutcome) -> bool {
    call.error.is_some() && !is_unanswered(call) && call.failures <= 1
}
