//! The pause after a failed request: a function of the error, the number of failures, the claim and the time. It has no
//! state and no randomness: the UID of the claim spreads claims that failed at the same time.

use std::time::Duration;

use cloudprovider::{CallKind, CallOutcome, ErrorClass};
use jiff::{SignedDuration, Timestamp};
use plan::backoff::doubling;

use crate::context::PlanContext;
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
        | ErrorClass::NeverJoined
        | ErrorClass::NoAddresses
        | ErrorClass::ClusterFull
        | ErrorClass::ClusterStopped
        | ErrorClass::Policy
        | ErrorClass::Blocked
        | ErrorClass::Unauthorized
        | ErrorClass::ClusterNotFound
        | ErrorClass::SkuUnavailable
        | ErrorClass::Invalid => settings.capacity_backoff,
        _ => settings.backoff,
    };
    doubling(first, longest, failures.saturating_sub(1))
}

/// Returns the pause, longer by up to a quarter. The share depends on the claim and the number of failures alone.
pub(crate) fn spread(pause: SignedDuration, uid: &str, failures: u32) -> SignedDuration {
    // FNV-1a: short, and the same in every version and process.
    let bytes = uid.bytes().chain(failures.to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let share = u8::try_from((hash >> 32) % 256).unwrap_or_default();
    let more = pause.as_millis() * i128::from(share) / 1024;
    let more = SignedDuration::from_millis(i64::try_from(more).unwrap_or_default());
    pause.saturating_add(more)
}

/// Returns when a failed request of a claim may be repeated; `None` if it did not fail.
pub(crate) fn due(call: &CallOutcome, uid: &str, settings: &Settings) -> Option<Timestamp> {
    let error = call.error.as_ref()?;
    let own = pause(call.kind, error.class, call.failures, settings);
    let asked = error.retry_after.unwrap_or(own);
    Some(time::after(call.at, spread(asked.max(own), uid, call.failures)))
}

/// Returns the time left until a failed request of the claim may be repeated; `None` once it may.
pub(crate) fn remaining(context: &PlanContext<'_>, call: &CallOutcome) -> Option<Duration> {
    time::remaining(due(call, context.claim.uid(), context.settings)?, context.now)
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
            repeats: 0,
            operation_url: None,
        };
        let due = due(&call, "uid", &Settings::default()).unwrap();
        let earliest = time::after(at, SignedDuration::from_secs(90));
        assert!(earliest <= due && due <= time::after(earliest, SignedDuration::from_secs(23)));
    }

    #[test]
    fn claims_that_failed_at_once_are_spread_over_a_quarter() {
        let pause = SignedDuration::from_secs(60);
        let all: std::collections::BTreeSet<SignedDuration> =
            (0..200).map(|i| spread(pause, &format!("uid-{i}"), 1)).collect();
        assert!(all.len() > 80, "{} different pauses", all.len());
        assert!(
            all.iter()
                .all(|p| *p >= pause && *p < SignedDuration::from_secs(75))
        );
        assert!(*all.last().unwrap() > SignedDuration::from_secs(72));
        assert_eq!(spread(pause, "uid-1", 1), spread(pause, "uid-1", 1));
        assert_eq!(spread(SignedDuration::MAX, "uid-1", 1), SignedDuration::MAX);
    }
}
