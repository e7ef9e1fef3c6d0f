//! How long to wait after a failure: a pure function of what failed and how often. Keeps no counters.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use jiff::SignedDuration;
use plan::backoff::doubling;

use crate::error::Class;
use crate::key::Key;

/// The pause before the next attempt, after `failures` earlier failures in a row.
#[must_use]
pub fn delay(class: Class, failures: u32) -> Duration {
    let (first, longest) = match class {
        Class::Conflict => (SignedDuration::from_millis(50), SignedDuration::from_secs(5)),
        Class::Transient => (SignedDuration::from_millis(500), SignedDuration::from_secs(60)),
        Class::Bug => (SignedDuration::from_secs(5), SignedDuration::from_secs(600)),
        Class::Denied => (SignedDuration::from_secs(30), SignedDuration::from_secs(600)),
    };
    doubling(first, longest, failures).unsigned_abs()
}

/// The pause, up to a quarter shorter or longer, so that objects that failed together don't come back together.
#[must_use]
pub(crate) fn spread(delay: Duration, key: &Key, failures: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (key, failures).hash(&mut hasher);
    // 0 to 1023 shares of half the delay, on top of three quarters of it.
    let share = u32::try_from(hasher.finish() % 1024).unwrap_or_default();
    delay.saturating_mul(3) / 4 + (delay / 2 / 1024).saturating_mul(share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_class_has_its_pace() {
        let ms = |class, failures| delay(class, failures).as_millis();
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(Class::Conflict, n)),
            [50, 100, 200, 5_000]
        );
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(Class::Transient, n)),
            [500, 1_000, 2_000, 60_000]
        );
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(Class::Bug, n)),
            [5_000, 10_000, 20_000, 600_000]
        );
        assert_eq!(
            [0, 1, 2, 9].map(|n| ms(Class::Denied, n)),
            [30_000, 60_000, 120_000, 600_000]
        );
    }

    fn classes() -> impl Strategy<Value = Class> {
        prop_oneof![
            Just(Class::Conflict),
            Just(Class::Transient),
            Just(Class::Bug),
            Just(Class::Denied)
        ]
    }

    proptest! {
        #[test]
        fn more_failures_never_wait_less(class in classes(), failures in any::<u32>()) {
            prop_assert!(delay(class, failures) <= delay(class, failures.saturating_add(1)));
            prop_assert!(delay(class, failures) <= Duration::from_secs(600));
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
