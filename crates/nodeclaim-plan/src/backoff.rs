//! How long to wait after a failed request: a function of what failed, how often and when. No state, no
//! randomness; the program's write gate spreads what would fall together.

use std::time::Duration;

use cloudprovider::{CallKind, CallOutcome, ErrorClass};
use jiff::{SignedDuration, Timestamp};

use crate::settings::Settings;

/// Pause after a refusal that will not change by itself. Restrictions do get lifted, so it is not for ever; a
/// changed Machine is tried at once.
pub(crate) const TERMINAL_PAUSE: SignedDuration = SignedDuration::from_hours(6);

/// Pause after this many failures in a row.
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
    plan::backoff::doubling(first, longest, failures.saturating_sub(1))
}

/// When a failed request may be repeated; `None` when it did not fail.
pub(crate) fn due(call: &CallOutcome, settings: &Settings) -> Option<Timestamp> {
    let error = call.error.as_ref()?;
    let own = pause(call.kind, error.class, call.failures, settings);
    Some(after(
        call.at,
        error.retry_after.map_or(own, |asked| asked.max(own)),
    ))
}

/// A moment later than `at`, as far as time goes.
pub(crate) fn after(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(at)
}

/// How long it is until `until`; `None` when that has come.
pub(crate) fn remaining(until: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = until.duration_since(now);
    if left <= SignedDuration::ZERO {
        None
    } else {
        Duration::try_from(left).ok()
    }
}

/// A setting as a wait.
pub(crate) fn wait(pause: SignedDuration) -> Duration {
    Duration::try_from(pause).unwrap_or_default()
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
    fn what_the_cloud_asks_for_is_heeded() {
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
            Some(after(at, SignedDuration::from_secs(90)))
        );
    }
}
