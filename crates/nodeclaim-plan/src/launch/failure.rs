//! Failed launches as they are noted on the claim, and when the present launch started.

use cloudprovider::ProviderError;
use jiff::Timestamp;
use kaito_api::labels::{LAUNCH_FAILURE, OPERATION_URL};

use crate::claim_edit::ClaimEdit;
use crate::context::PlanContext;
use crate::launch::error_reasons;
use crate::launch_record::LaunchFailure;

/// Notes a failure, and forgets the operation that it ended.
pub(crate) fn note(context: &PlanContext<'_>, at: Timestamp, error: &ProviderError, edit: &mut ClaimEdit) {
    let offering = match context.owned() {
        Some(instance) => instance.offering(),
        None => context.record.offering.clone(),
    };
    let earlier = context.record.failure.as_ref();
    // The failures of another offering do not count.
    let earlier = earlier.filter(|failure| !failure.is_of_offering() || failure.offering == offering);
    let earlier = earlier.map_or(0, |failure| failure.count);
    let failure = LaunchFailure {
        at,
        count: earlier.saturating_add(1),
        generation: context.claim.metadata().generation.unwrap_or_default(),
        offering,
        error: ProviderError {
            message: error_reasons::cut(&error.message),
            ..error.clone()
        },
    };
    // Strings and numbers only, so this cannot fail.
    if let Ok(text) = serde_json::to_string(&failure) {
        edit.set(context.claim, LAUNCH_FAILURE, Some(text));
    }
    edit.set(context.claim, OPERATION_URL, None);
}

/// Returns when the instance that exists was asked for, as far as is known.
pub(crate) fn started(context: &PlanContext<'_>) -> Option<Timestamp> {
    // A request may have waited for its turn after its intent was stored.
    let accepted = context.accepted_create.map(|call| call.at);
    context.record.started.max(accepted)
}
