//! A token bucket. Pure: the time is an argument, counted from any fixed instant.

use std::time::Duration;

/// A rate of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Largest burst.
    pub burst: f64,
    /// Requests regained a second.
    pub per_second: f64,
}

/// Longest time for which a caller queues behind others that wait for the same bucket.
const QUEUE_MAX: Duration = Duration::from_secs(60);
/// Part of a token that rounding may lose. Without it a caller that comes back in time would be too early.
const ROUNDING: f64 = 1e-6;

/// A token bucket that can also be closed for some time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TokenBucket {
    rate: Rate,
    tokens: f64,
    /// Time from which tokens come back.
    at: Duration,
    closed_until: Duration,
    /// Time at which the last refused caller comes back, by the reserve that it has to leave.
    queues: Vec<(f64, Duration)>,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub(super) fn new(rate: Rate, now: Duration) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            at: now,
            closed_until: Duration::ZERO,
            queues: Vec::new(),
        }
    }

    /// Takes `cost` tokens if at least `cost + reserve` are available.
    ///
    /// # Errors
    /// The time after which to come back; nothing is taken then. Refused callers get times one after the other.
    pub(super) fn take(&mut self, now: Duration, cost: f64, reserve: f64) -> Result<(), Duration> {
        self.check(now, cost, reserve)?;
        self.tokens -= cost;
        Ok(())
    }

    /// Looks whether [`Self::take`] would succeed. Takes nothing.
    ///
    /// # Errors
    /// The time after which to come back.
    pub(super) fn check(&mut self, now: Duration, cost: f64, reserve: f64) -> Result<(), Duration> {
        self.refill(now);
        let missing = cost + reserve - self.tokens;
        if now >= self.closed_until && missing <= ROUNDING {
            return Ok(());
        }
        let from = self.at.max(now);
        let earliest = from.saturating_add(self.time_of(missing.max(0.0)));
        Err(self.queue(now, earliest, cost, reserve).saturating_sub(now))
    }

    /// Returns the time for a refused caller: its earliest one, or after the caller before it that still waits.
    fn queue(&mut self, now: Duration, earliest: Duration, cost: f64, reserve: f64) -> Duration {
        let step = self.time_of(cost);
        let Some((_, last)) = self.queues.iter_mut().find(|(of, _)| *of == reserve) else {
            self.queues.push((reserve, earliest));
            return earliest;
        };
        let next = if *last > now {
            last.saturating_add(step)
        } else {
            earliest
        };
        *last = next.clamp(earliest, earliest.saturating_add(QUEUE_MAX));
        *last
    }

    /// Time in which this many tokens come back.
    fn time_of(&self, tokens: f64) -> Duration {
        Duration::try_from_secs_f64(tokens / self.rate.per_second).unwrap_or(Duration::MAX)
    }

    /// Lowers the balance to what the service says is left of its own.
    pub(super) fn cap(&mut self, now: Duration, left: f64) {
        self.refill(now);
        self.tokens = self.tokens.min(left);
    }

    /// Closes the bucket for `pause`. After it one request may be sent at once, and more as tokens come back.
    pub(super) fn close(&mut self, now: Duration, pause: Duration) {
        self.refill(now);
        self.tokens = self.tokens.min(1.0);
        self.closed_until = self.closed_until.max(now.saturating_add(pause));
        self.at = self.at.max(self.closed_until);
    }

    /// Takes `cost` tokens to finish a listing that has begun; the balance may become negative.
    pub(super) fn charge(&mut self, now: Duration, cost: f64) {
        self.refill(now);
        self.tokens -= cost;
    }

    /// Empties the bucket, because the service reported that its own is empty, and closes it for the pause that the service
    /// asks for, if any.
    pub(super) fn exhaust(&mut self, now: Duration, pause: Duration) {
        if pause.is_zero() {
            self.cap(now, 0.0);
        } else {
            self.close(now, pause);
        }
    }

    /// Returns true if the bucket is full and open, so that dropping it changes nothing.
    #[must_use]
    pub(super) fn is_idle(&mut self, now: Duration) -> bool {
        self.refill(now);
        self.tokens >= self.rate.burst && now >= self.closed_until
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate.per_second).min(self.rate.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate {
        burst: 3.0,
        per_second: 1.0,
    };

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = TokenBucket::new(RATE, at(0));
        for _ in 0..3 {
            assert_eq!(bucket.take(at(0), 1.0, 0.0), Ok(()));
        }
        assert_eq!(bucket.take(at(250), 1.0, 0.0), Err(at(750)));
        assert_eq!(bucket.take(at(1000), 1.0, 0.0), Ok(()));
    }

    #[test]
    fn a_reserve_is_left_for_others() {
        let mut bucket = TokenBucket::new(RATE, at(0));
        assert_eq!(bucket.take(at(0), 1.0, 2.0), Ok(()));
        assert_eq!(bucket.take(at(0), 1.0, 2.0), Err(at(1000)));
        assert_eq!(bucket.take(at(0), 2.0, 0.0), Ok(()));
    }

    #[test]
    fn a_listing_that_has_begun_may_overdraw() {
        let mut bucket = TokenBucket::new(RATE, at(0));
        bucket.charge(at(0), 5.0);
        assert_eq!(bucket.take(at(0), 1.0, 0.0), Err(at(3000)));
        assert!(!bucket.is_idle(at(4000)));
        assert!(bucket.is_idle(at(5000)));
    }

    #[test]
    fn exhausted_elsewhere_is_exhausted_here() {
        let mut bucket = TokenBucket::new(RATE, at(0));
        bucket.exhaust(at(0), at(30_000));
        assert_eq!(bucket.take(at(10_000), 1.0, 0.0), Err(at(20_000)));
        assert_eq!(bucket.take(at(30_000), 1.0, 0.0), Ok(()));
        // The service asked for a pause, not for a burst after it.
        assert_eq!(bucket.take(at(30_000), 1.0, 0.0), Err(at(1_000)));
        let mut emptied = TokenBucket::new(RATE, at(0));
        emptied.exhaust(at(0), at(0));
        assert_eq!(emptied.take(at(0), 1.0, 0.0), Err(at(1_000)));
    }

    #[test]
    fn callers_that_wait_come_back_one_after_the_other() {
        let mut bucket = TokenBucket::new(RATE, at(0));
        bucket.charge(at(0), 3.0);
        for second in 1..=5 {
            assert_eq!(bucket.take(at(0), 1.0, 0.0), Err(at(1000 * second)));
        }
        // Those who must leave a reserve queue for themselves.
        assert_eq!(bucket.take(at(0), 1.0, 1.0), Err(at(2000)));
        for second in 1..=5 {
            assert_eq!(bucket.take(at(1000 * second), 1.0, 0.0), Ok(()));
        }
        let mut last = at(0);
        for _ in 0..200 {
            last = bucket.take(at(5000), 1.0, 0.0).unwrap_err();
        }
        assert_eq!(last, at(61_000), "the queue has an end");
    }

    #[test]
    fn callers_come_back_after_a_pause_one_after_the_other() {
        let mut bucket = TokenBucket::new(RATE, at(0));
        bucket.close(at(0), at(10_000));
        for second in 10..15 {
            assert_eq!(bucket.take(at(0), 1.0, 0.0), Err(at(1000 * second)));
        }
        for second in 10..15 {
            assert_eq!(bucket.take(at(1000 * second), 1.0, 0.0), Ok(()));
        }
    }

    proptest! {
        /// No window grants more than a burst and the tokens that the rate adds.
        #[test]
        fn grants_stay_within_the_rate(steps in prop::collection::vec((0_u64..2_000, 1_u8..3), 1..80)) {
            let mut bucket = TokenBucket::new(RATE, at(0));
            let (mut now, mut granted) = (0_u64, Vec::new());
            for (pause, cost) in steps {
                now += pause;
                match bucket.take(at(now), f64::from(cost), 0.0) {
                    Ok(()) => granted.push((now, f64::from(cost))),
                    Err(wait) => {
                        let later = at(now) + wait + Duration::from_nanos(1000);
                        prop_assert!(bucket.clone().take(later, f64::from(cost), 0.0).is_ok());
                    }
                }
            }
            for (index, (from, _)) in granted.iter().enumerate() {
                let mut sum = 0.0;
                for (to, cost) in &granted[index..] {
                    sum += cost;
                    let window = (at(*to) - at(*from)).as_secs_f64();
                    prop_assert!(sum <= RATE.burst + window * RATE.per_second + 1e-6);
                }
            }
        }
    }
}
