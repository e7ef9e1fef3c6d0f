//! The table from cloud errors to condition reasons, and whether a stage that failed can heal.

use cloudprovider::{ErrorClass, ProviderError};
use kaito_api::conditions::ClaimReason;

use crate::condition::{self, ConditionUpdate};

/// Text by which KAITO recognizes that an instance type is not available.
const ALL_TYPES_UNAVAILABLE: &str = "all requested instance types were unavailable during launch";
/// Longest text of the cloud's own in a message, so that the remedy after it survives.
const CLOUD_TEXT_MAX: usize = 500;
/// Shortest text of the cloud's own in a message about several errors.
const SHORT_TEXT_MIN: usize = 80;
/// Number of failures in a row without a lasting cause after which they are reported.
const TRANSIENT_TOLERATED: u32 = 3;

/// Source of an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The answer to our request, this many in a row.
    RefusedWrite(u32),
    /// An operation that the cloud had accepted.
    Operation,
}

/// Returns the update of `Launched` after an error.
pub(crate) fn launched(error: &ProviderError, origin: Origin) -> ConditionUpdate {
    let reason = reason(error.class, origin);
    if reason == ClaimReason::AwaitingCloud {
        return condition::pending(reason, "the request to the cloud is repeated");
    }
    if error.class == ErrorClass::SkuUnavailable {
        let cause = cause(error);
        let cause = format!("{}; {ALL_TYPES_UNAVAILABLE}", cause.trim_end_matches('.'));
        return condition::unmet(reason, &cause);
    }
    if error.class.is_terminal() {
        return condition::unmet(reason, &cause(error));
    }
    if error.class == ErrorClass::Throttled {
        // The cloud's own text counts seconds down, so it would change in every reconcile.
        let cause = format!("{}: the cloud limits our requests", error.code);
        return condition::pending(reason, &cause);
    }
    condition::pending(reason, &cause(error))
}

/// Returns the update of `Launched` for a claim all of whose offerings are refused, with the status and the reason of the
/// decisive refusal.
pub(crate) fn every_offering(decisive: Option<ConditionUpdate>, cause: &str) -> ConditionUpdate {
    match decisive.and_then(|update| Some((update.reason?, update.status))) {
        Some((reason @ ClaimReason::SkuNotAvailable, _)) => {
            condition::unmet(reason, &format!("{cause}; {ALL_TYPES_UNAVAILABLE}"))
        }
        Some((reason, _)) => condition::pending(reason, cause),
        None => condition::pending(ClaimReason::AllocationFailure, cause),
    }
}

/// Returns the cloud's own words, cut to their share of a message about several errors.
pub(crate) fn short_cause(error: &ProviderError, errors: usize) -> String {
    let share = (CLOUD_TEXT_MAX / errors.max(1)).max(SHORT_TEXT_MIN);
    let text = plan::text::cut(&cause(error), share);
    text.trim_end_matches('.').to_owned()
}

/// Returns why the cloud keeps an instance that we want gone. The reason is the cloud's where a person can help.
pub(crate) fn not_deleted(error: &ProviderError) -> ConditionUpdate {
    let cause = cause(error);
    match reason(error.class, Origin::RefusedWrite(0)) {
        reason @ (ClaimReason::AuthorizationFailed
        | ClaimReason::ClusterNotFound
        | ClaimReason::ClusterStopped
        | ClaimReason::PolicyDenied
        | ClaimReason::CloudBlocked) => condition::unmet(reason, &cause),
        // An operation that ended with an error, or a refusal that repetition alone may not end.
        _ if !is_passing(error.class) => condition::unmet(ClaimReason::InstanceNotDeleted, &cause),
        _ => {
            let cause = format!("the instance is not deleted yet: {cause}");
            condition::unmet(ClaimReason::InstanceTerminating, &cause)
        }
    }
}

fn is_passing(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::Busy
            | ErrorClass::LocallyLimited
            | ErrorClass::Throttled
            | ErrorClass::Precondition
            | ErrorClass::Transient
            | ErrorClass::NotFound
    )
}

/// Cuts the cloud's own text so that it leaves room for a remedy.
pub(crate) fn cut(text: &str) -> String {
    plan::text::cut(text, CLOUD_TEXT_MAX)
}

/// Returns the cloud's own words, without ids that differ at every attempt.
fn cause(error: &ProviderError) -> String {
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&format!("{}: {message}", error.code))
}

fn reason(class: ErrorClass, origin: Origin) -> ClaimReason {
    match (class, origin) {
        (ErrorClass::SkuUnavailable, _) => ClaimReason::SkuNotAvailable,
        (ErrorClass::Quota, _) => ClaimReason::SubscriptionQuotaReached,
        (ErrorClass::Capacity, _) => ClaimReason::AllocationFailure,
        (ErrorClass::NeverJoined, _) => ClaimReason::NodeNeverJoined,
        (ErrorClass::NoAddresses, _) => ClaimReason::NoAddresses,
        (ErrorClass::ClusterFull, _) => ClaimReason::ClusterFull,
        (ErrorClass::ClusterStopped, _) => ClaimReason::ClusterStopped,
        (ErrorClass::Policy, _) => ClaimReason::PolicyDenied,
        (ErrorClass::Blocked, _) => ClaimReason::CloudBlocked,
        (ErrorClass::Unauthorized, _) => ClaimReason::AuthorizationFailed,
        (ErrorClass::ClusterNotFound, _) => ClaimReason::ClusterNotFound,
        (ErrorClass::Invalid, _) => ClaimReason::InvalidRequest,
        (_, Origin::Operation) => ClaimReason::InstanceFailed,
        (ErrorClass::Busy | ErrorClass::LocallyLimited, Origin::RefusedWrite(_)) => {
            ClaimReason::WaitingForCluster
        }
        (ErrorClass::Throttled, Origin::RefusedWrite(_)) => ClaimReason::Throttled,
        (ErrorClass::Precondition, Origin::RefusedWrite(_)) => ClaimReason::AwaitingCloud,
        (ErrorClass::Transient, Origin::RefusedWrite(n)) if n < TRANSIENT_TOLERATED => {
            ClaimReason::AwaitingCloud
        }
        (ErrorClass::Transient | ErrorClass::NotFound, Origin::RefusedWrite(_)) => ClaimReason::LaunchFailed,
    }
}
