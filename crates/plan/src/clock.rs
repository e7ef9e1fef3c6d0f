//! The clock of the API server, as a program knows it from the dates of responses.
//!
//! Times of deletion and creation are the server's, and so are deadlines that are counted from them. The clock of this
//! machine may differ by minutes, and a restart may move the program to a machine whose clock differs by others. It is a
//! value without I/O; the caller passes the time since any fixed instant, by a clock that never steps.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Difference up to which the estimate stays as it is. Dates have whole seconds, and responses take some time.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(2);
/// Responses in a row that must look late before the estimate goes back: a single one may have been delayed on its way.
const LATE: u32 = 3;

/// An estimate of the API server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerClock {
    /// The server's time at the fixed instant.
    origin: Timestamp,
    known: bool,
    late: u32,
}

impl ServerClock {
    /// A clock that shows `wall`, the clock of this machine at the fixed instant, until the first response.
    #[must_use]
    pub fn new(wall: Timestamp) -> Self {
        Self {
            origin: wall,
            known: false,
            late: 0,
        }
    }

    /// Takes in the date of a response that came after `elapsed`.
    pub fn observe(&mut self, date: Timestamp, elapsed: Duration) {
        // Dates are cut to whole seconds.
        let half = SignedDuration::from_millis(500);
        let date = date.saturating_add(half).unwrap_or(date);
        let origin = date.saturating_sub(elapsed).unwrap_or(date);
        let difference = origin.duration_since(self.origin);
        self.late = if difference < -TOLERANCE { self.late + 1 } else { 0 };
        if !self.known || difference > TOLERANCE || self.late >= LATE {
            *self = Self {
                known: true,
                ..Self::new(origin)
            };
        }
    }

    /// The server's time after `elapsed`.
    #[must_use]
    pub fn at(&self, elapsed: Duration) -> Timestamp {
        self.origin.saturating_add(elapsed).unwrap_or(self.origin)
    }

    /// The server's time less that of a clock which showed `origin` at the fixed instant.
    #[must_use]
    pub fn ahead_of(&self, origin: Timestamp) -> SignedDuration {
        self.origin.duration_since(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn near(clock: &ServerClock, elapsed: u64, second: i64) -> bool {
        let shown = clock.at(Duration::from_secs(elapsed));
        shown.duration_since(at(second)).abs() <= SignedDuration::from_secs(1)
    }

    #[test]
    fn the_first_date_counts_whatever_the_machine_shows() {
        for skew in [-900, 0, 900] {
            let mut clock = ServerClock::new(at(1_000_000 + skew));
            assert!(near(&clock, 5, 1_000_005 + skew));
            clock.observe(at(1_000_010), Duration::from_secs(10));
            assert!(near(&clock, 600, 1_000_600), "{skew}");
        }
    }

    #[test]
    fn small_differences_and_one_delayed_response_change_nothing() {
        let mut clock = ServerClock::new(at(0));
        clock.observe(at(1000), Duration::ZERO);
        let before = clock;
        for (date, elapsed) in [(1000, 1), (1011, 10), (1010, 12), (1010, 40), (1050, 50)] {
            clock.observe(at(date), Duration::from_secs(elapsed));
            assert_eq!(
                clock.at(Duration::ZERO),
                before.at(Duration::ZERO),
                "{date} {elapsed}"
            );
        }
    }

    #[test]
    fn the_server_may_step_both_ways() {
        let mut clock = ServerClock::new(at(0));
        clock.observe(at(1000), Duration::ZERO);
        clock.observe(at(4601), Duration::from_secs(1));
        assert!(near(&clock, 1, 4601));
        for second in 2..5 {
            clock.observe(at(1000 + second), Duration::from_secs(second.unsigned_abs()));
        }
        assert!(near(&clock, 10, 1010));
    }
}
