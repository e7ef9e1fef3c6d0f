//! The pause after a failed request: a function of the error, the number of failures and the time. It has no state and no
//! randomness; the program's limit on writes spreads requests that are due at once.

use std::time::Duration;

use cloudprovider::{CallKind, CallOutcome, ErrorClass};
use jiff::{SignedDuration, Timestamp};
use plan::backoff::doubling;

use crate::settings::Settings;
use crate::time;

/// Pause after a refusal that will not change by itself. It ends, because restrictions do get lifted. A changed claim is
/// tried at once.
pub(crate) const TERMINAL_PAUSE: SignedDuration = SignedDuration::from_hours(6);

/// Returns the pause after this many failures in a row.
pub(crate) fn pause(kind: CallKind, class: ErrorClass, failures: u32, settings: &Settings) -> SignedDuration {
    let (first, longest) = match class {
        ErrorClass::SkuUnavailable | ErrorClass::Invalid if kind == CallKind::Create => {
            return TERMINAL_PAUSE;
        }
        ErrorClass::Quota
        | ErrorClass::Capacity
        | ErrorClass::Unauthorized
        | ErrorClass::ClusterNotFound
        | ErrorClass::SkuUnavailable
        | ErrorClass::Invalid => settings.capacity_backoff,
        _ => settings.backoff,
    };
    doubling(first, longest, failures.saturating_sub(1))
}

/// Returns when a failed request may be repeated; `None` if it did not fail.
pub(crate) fn due(call: &CallOutcome, settings: &Settings) -> Option<Timestamp> {
    let error = call.error.as_ref()?;
    let own = pause(call.kind, error.class, call.failures, settings);
    let asked = error.retry_after.unwrap_or(own);
    Some(time::after(call.at, asked.max(own)))
}

/// Returns the time left until a failed request may be repeated; `None` once it may.
pub(crate) fn remaining(call: &CallOutcome, settings: &Settings, now: Timestamp) -> Option<Duration> {
    time::remaining(due(call, settings)?, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_never_negative() {
        let settings = Settings::default();
        let check = |kind, class, failures, seconds| {
            assert_eq!(
                pause(kind, class, failures, &settings),
                SignedDuration::from_secs(seconds),
                "{kind:?} {class:?} {failures}"
            );
        };
        check(CallKind::Create, ErrorClass::Transient, 0, 1);
        check(CallKind::Create, ErrorClass::Transient, 1, 1);
        check(CallKind::Create, ErrorClass::Busy, 4, 8);
        check(CallKind::Create, ErrorClass::Transient, u32::MAX, 60);
        check(CallKind::Create, ErrorClass::Quota, 1, 60);
        check(CallKind::Create, ErrorClass::Capacity, 9, 600);
        check(CallKind::Create, ErrorClass::Invalid, 1, 6 * 3600);
        check(CallKind::Delete, ErrorClass::Invalid, 1, 60);
    }

    #[test]
    fn a_longer_pause_that_the_cloud_asks_for_is_kept() {
        let at = Timestamp::UNIX_EPOCH;
        let error = cloudprovider::ProviderError::new(ErrorClass::Throttled, "TooManyRequests", "")
            .with_retry_after(Some(SignedDuration::from_secs(90)));
        let call = CallOutcome {
            at,
            kind: CallKind::Create,
            error: Some(error),
            failures: 1,
            operation_url: None,
        };
        assert_eq!(
            due(&call, &Settings::default()),
            Some(time::after(at, SignedDuration::from_secs(90)))
        );
    }
}
