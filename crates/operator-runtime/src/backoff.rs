//! Pause after a failed reconcile: a pure function of the error class and the number of failures. It keeps no counters.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use jiff::SignedDuration;
use plan::FailureClass;
use plan::backoff::doubling;

use crate::key::Key;

/// Longest pause that the API server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// Returns the pause before the next attempt, after `failures` earlier failures in a row.
#[must_use]
pub(crate) fn delay(class: FailureClass, failures: u32) -> Duration {
    let (first, longest) = match class {
        FailureClass::Conflict => (SignedDuration::from_millis(50), SignedDuration::from_secs(5)),
        FailureClass::Transient => (SignedDuration::from_millis(500), SignedDuration::from_secs(60)),
        // Nothing reports that a quota, a policy or a role has changed, so people who repaired one wait this long.
        FailureClass::Bug => (SignedDuration::from_secs(5), SignedDuration::from_secs(120)),
        FailureClass::Denied => (SignedDuration::from_secs(10), SignedDuration::from_secs(120)),
    };
    doubling(first, longest, failures).unsigned_abs()
}

/// Returns the pause that the API server asks for. It is bounded, and long enough that spreading it does not fall below.
#[must_use]
pub(crate) fn asked(retry_after: Option<Duration>) -> Duration {
    let asked = retry_after.unwrap_or_default().min(LONGEST_ASKED);
    asked.saturating_mul(4) / 3
}

/// Returns the pause, up to a quarter shorter or longer, so that objects that failed together are not retried together.
#[must_use]
pub(crate) fn spread(delay: Duration, key: &Key, failures: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (key, failures).hash(&mut hasher);
    // 0 to 1023 parts of half the delay, on top of three quarters of it.
    let part = u32::try_from(hasher.finish() % 1024).unwrap_or_default();
    delay.saturating_mul(3) / 4 + (delay / 2 / 1024).saturating_mul(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_class_has_its_pace() {
        let ms = |class, failures| delay(class, failures).as_millis();
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(FailureClass::Conflict, n)),
            [50, 100, 200, 5_000]
        );
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(FailureClass::Transient, n)),
            [500, 1_000, 2_000, 60_000]
        );
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(FailureClass::Bug, n)),
            [5_000, 10_000, 20_000, 120_000]
        );
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(FailureClass::Denied, n)),
            [10_000, 20_000, 40_000, 120_000]
        );
    }

    fn classes() -> impl Strategy<Value = FailureClass> {
        prop_oneof![
            Just(FailureClass::Conflict),
            Just(FailureClass::Transient),
            Just(FailureClass::Bug),
            Just(FailureClass::Denied)
        ]
    }

    #[test]
    fn the_server_may_ask_for_a_pause_within_bounds() {
        assert_eq!(asked(None), Duration::ZERO);
        let spread = spread(asked(Some(Duration::from_secs(9))), &Key::cluster("a"), 0);
        assert!(spread >= Duration::from_secs(9), "{spread:?}");
        assert_eq!(asked(Some(Duration::MAX)), Duration::from_secs(160));
    }

    proptest! {
        #[test]
        fn more_failures_never_wait_less(class in classes(), failures in any::<u32>()) {
            prop_assert!(delay(class, failures) <= delay(class, failures.saturating_add(1)));
            prop_assert!(delay(class, failures) <= Duration::from_secs(120));
            prop_assert!(delay(class, failures) >= Duration::from_millis(50));
        }

        #[test]
        fn spreading_stays_within_a_quarter(class in classes(), failures in 0_u32..20, name in "[a-z]{1,9}") {
            let exact = delay(class, failures);
            let spread = spread(exact, &Key::cluster(name), failures);
            prop_assert!(spread >= exact * 3 / 4 && spread <= exact * 5 / 4);
        }
    }
}
