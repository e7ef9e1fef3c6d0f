//! Arithmetic on instants that never overflows.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Returns the instant `pause` after `at`, or `at` where there is none.
pub(crate) fn after(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(at)
}

/// Returns the time left until `until`; `None` once that has come.
pub(crate) fn remaining(until: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = until.duration_since(now);
    if left <= SignedDuration::ZERO {
        None
    } else {
        Duration::try_from(left).ok()
    }
}

/// Returns a setting as the standard library's type; a negative one as zero.
pub(crate) fn to_std(pause: SignedDuration) -> Duration {
    Duration::try_from(pause).unwrap_or_default()
}

/// Rounds a time down to whole seconds, as times in objects are.
pub(crate) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
