//! When to try again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::error::{Error, Result};

/// No pause is longer, unless the other side asks for it.
const LONGEST: Duration = Duration::from_secs(60);
/// A pause the other side asks for is not longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often and how fast to try again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    pub(crate) attempts: u32,
    pub(crate) first: Duration,
}

/// The attempts made at one thing.
#[derive(Debug)]
pub(crate) struct Attempts {
    retry: Retry,
    failed: u32,
}

impl Retry {
    pub(crate) fn begin(self) -> Attempts {
        Attempts {
            retry: self,
            failed: 0,
        }
    }
}

impl Attempts {
    /// Takes note of a failure, says so, and waits for the next attempt.
    ///
    /// # Errors
    /// Gives the failure back when another attempt is of no use, or there were enough.
    pub(crate) async fn after(&mut self, error: Error) -> Result<()> {
        let Error::Unavailable { text, after } = &error else {
            return Err(error);
        };
        self.failed += 1;
        if self.failed >= self.retry.attempts {
            return Err(Error::unavailable(format!(
                "{text} (tried {} times)",
                self.failed
            )));
        }
        let pause = pause(self.retry.first, self.failed, *after);
        crate::progress::say(&format!("{text}; trying again in {:.1} s", pause.as_secs_f64()));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Something was achieved, so failures before it no longer count.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }
}

/// The pause after the `failed`th failure in a row: doubling, with a random part so that many pods that failed
/// together don't come back together.
fn pause(first: Duration, failed: u32, asked: Option<Duration>) -> Duration {
    let doubled = first
        .saturating_mul(1 << failed.saturating_sub(1).min(16))
        .min(LONGEST);
    let random = RandomState::new().hash_one(failed) % 1000;
    let spread = doubled.mul_f64(0.75 + 0.0005 * random as f64);
    spread.max(asked.unwrap_or_default().min(PATIENCE))
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
        assert_eq!(pause(first, 1, Some(Duration::MAX)), PATIENCE);
    }

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again() {
        let retry = Retry {
            attempts: 3,
            first: Duration::ZERO,
        };
        let mut attempts = retry.begin();
        assert!(matches!(
            attempts.after(Error::Corrupt(String::new())).await,
            Err(Error::Corrupt(_))
        ));
        attempts.after(Error::unavailable("one")).await.unwrap();
        attempts.reset();
        attempts.after(Error::unavailable("two")).await.unwrap();
        attempts.after(Error::unavailable("three")).await.unwrap();
        let last = attempts.after(Error::unavailable("four")).await.unwrap_err();
        assert_eq!(last.to_string(), "four (tried 3 times)");
    }
}
