//! What a cloud's error means for the claim: which reason its condition gets, and whether it can heal.

use cloudprovider::{ErrorClass, ProviderError};
use kaito_api::conditions::ClaimReason;

use crate::status::conditions::{self, ConditionUpdate};

/// The sentence by which KAITO recognises that an instance type cannot be had.
const ALL_TYPES_UNAVAILABLE: &str = "all requested instance types were unavailable during launch";
/// Longest text of the cloud's own in a message, so that what follows it survives.
const CLOUD_TEXT_MAX: usize = 500;
/// Failures for no lasting reason before anybody is told.
const TRANSIENT_TOLERATED: u32 = 3;

/// Where an error came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The answer to our request; that many in a row.
    Refusal(u32),
    /// An operation that had been accepted.
    Pool,
}

/// The `MachineLaunched` verdict after an error.
pub(crate) fn step(error: &ProviderError, origin: Origin) -> ConditionUpdate {
    let reason = reason(error.class, origin);
    if reason == ClaimReason::AwaitingCloud {
        return conditions::waiting(reason, "the request to the cloud is repeated");
    }
    if error.class == ErrorClass::SkuUnavailable {
        return conditions::failed(
            reason,
            &format!("{}; {ALL_TYPES_UNAVAILABLE}", cause(error).trim_end_matches('.')),
        );
    }
    if error.class.is_terminal() {
        return conditions::failed(reason, &cause(error));
    }
    if error.class == ErrorClass::Throttled {
        // The cloud's own text counts seconds down.
        return conditions::waiting(reason, &format!("{}: the cloud limits our requests", error.code));
    }
    conditions::waiting(reason, &cause(error))
}

/// The cloud's own words, without ids that differ at every attempt.
pub(crate) fn cause(error: &ProviderError) -> String {
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&format!("{}: {message}", error.code))
}

/// Cuts a text of the cloud's to what fits beside a remedy.
pub(crate) fn cut(text: &str) -> String {
    plan::text::cut(text, CLOUD_TEXT_MAX)
}

fn reason(class: ErrorClass, origin: Origin) -> ClaimReason {
    match (class, origin) {
        (ErrorClass::SkuUnavailable, _) => ClaimReason::SkuNotAvailable,
        (ErrorClass::Quota, _) => ClaimReason::SubscriptionQuotaReached,
        (ErrorClass::Capacity, _) => ClaimReason::AllocationFailure,
        (ErrorClass::Unauthorized, _) => ClaimReason::AuthorizationFailed,
        (ErrorClass::ClusterNotFound, _) => ClaimReason::ClusterNotFound,
        (ErrorClass::Invalid, _) => ClaimReason::InvalidRequest,
        (_, Origin::Pool) => ClaimReason::AgentPoolFailed,
        (ErrorClass::Busy | ErrorClass::LocallyLimited, Origin::Refusal(_)) => ClaimReason::WaitingForCluster,
        (ErrorClass::Throttled, Origin::Refusal(_)) => ClaimReason::Throttled,
        (ErrorClass::Precondition, Origin::Refusal(_)) => ClaimReason::AwaitingCloud,
        (ErrorClass::Transient, Origin::Refusal(n)) if n < TRANSIENT_TOLERATED => ClaimReason::AwaitingCloud,
        (ErrorClass::Transient | ErrorClass::NotFound, Origin::Refusal(_)) => ClaimReason::LaunchFailed,
    }
}
