//! One step of a claim's life, as its condition shows it. Knows nothing of claims.

use kaito_api::conditions::ClaimReason;
use plan::text::sentence;

/// How far one step is, and why.
pub(crate) type ConditionUpdate = plan::condition::ConditionUpdate<ClaimReason>;

/// Not done yet, and nothing is known to be wrong for good.
pub(crate) fn waiting(reason: ClaimReason, cause: &str) -> ConditionUpdate {
    ConditionUpdate::pending(reason, sentence(cause))
}

/// Failed as things are; looked at again on every reconcile.
pub(crate) fn failed(reason: ClaimReason, cause: &str) -> ConditionUpdate {
    ConditionUpdate::unmet(reason, sentence(cause))
}
