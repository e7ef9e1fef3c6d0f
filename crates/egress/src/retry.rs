//! Attempts with a doubling pause.
//!
//! The control plane has its own back-off in `plan`; programs in users' pods use none of its crates.

use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::chain::Chain;

/// Longest pause, unless the server asks for a longer one.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// An error that another attempt may cure.
pub trait Transient: Error + Sized + 'static {
    /// Reports whether another attempt may help.
    fn is_transient(&self) -> bool;

    /// The pause that the server asks for.
    fn retry_after(&self) -> Option<Duration>;

    /// Wraps the last of several failures.
    #[must_use]
    fn gave_up(self, attempts: u32) -> Self;
}

/// The number of attempts and the pauses between them.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Most attempts in a row; at least one is made.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one, up to a minute.
    pub first_pause: Duration,
    /// Receives a line about each failure that is retried.
    pub report: fn(&str),
}

/// The failures in a row at one task.
#[derive(Debug)]
pub struct Attempts {
    retry: Retry,
    failed: u32,
}

impl Retry {
    /// Starts with no failure.
    #[must_use]
    pub fn start(self) -> Attempts {
        Attempts {
            retry: self,
            failed: 0,
        }
    }
}

impl Attempts {
    /// Counts a failure, reports it, and waits until the next attempt is due.
    ///
    /// # Errors
    /// The failure itself, if another attempt cannot help or none is left.
    pub async fn after<E: Transient>(&mut self, error: E) -> Result<(), E> {
        if !error.is_transient() {
            return Err(error);
        }
        self.failed += 1;
        if self.failed >= self.retry.attempts {
            return Err(error.gave_up(self.failed));
        }
        let pause = pause(self.retry.first_pause, self.failed, error.retry_after());
        (self.retry.report)(&format!(
            "{}; trying again in {:.1} s",
            Chain(&error),
            pause.as_secs_f64()
        ));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Forgets earlier failures after some progress.
    pub fn reset(&mut self) {
        self.failed = 0;
    }
}

/// The pause after failure number `failed` in a row. A random part spreads pods that failed together.
fn pause(first: Duration, failed: u32, asked: Option<Duration>) -> Duration {
    let doubled = first
        .saturating_mul(1 << failed.saturating_sub(1).min(16))
        .min(MAX_PAUSE);
    let random = RandomState::new().hash_one(failed) % 1000;
    let spread = doubled.mul_f64(0.75 + 0.0005 * random as f64);
    spread.max(asked.unwrap_or_default().min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_obey() {
        let first = Duration::from_secs(1);
        for (failed, expected) in [(1, 1.0), (2, 2.0), (4, 8.0), (40, 60.0)] {
            let seconds = pause(first, failed, None).as_secs_f64();
            assert!(
                (expected * 0.75..=expected * 1.25).contains(&seconds),
                "{failed}: {seconds}"
            );
        }
        assert_eq!(
            pause(first, 1, Some(Duration::from_secs(30))),
            Duration::from_secs(30)
        );
        assert_eq!(pause(first, 1, Some(Duration::MAX)), MAX_RETRY_AFTER);
    }

    #[tokio::test]
    async fn only_transient_failures_are_retried() {
        let retry = Retry {
            attempts: 3,
            first_pause: Duration::ZERO,
            report: |_| (),
        };
        let transient = |url: &str| crate::Error::Changed { url: url.to_owned() };
        let mut attempts = retry.start();
        let lasting = crate::Error::Empty {
            url: "none".to_owned(),
        };
        assert!(matches!(
            attempts.after(lasting).await,
            Err(crate::Error::Empty { .. })
        ));
        attempts.after(transient("one")).await.unwrap();
        attempts.reset();
        attempts.after(transient("two")).await.unwrap();
        attempts.after(transient("three")).await.unwrap();
        let last = attempts.after(transient("four")).await.unwrap_err();
        assert_eq!(
            last.to_string(),
            "four changed while it was fetched (tried 3 times)"
        );
    }
}
