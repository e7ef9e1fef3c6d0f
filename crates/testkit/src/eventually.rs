//! Waiting for something to become true. There is no other sleep in tests.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

const PAUSE: Duration = Duration::from_millis(100);

/// Calls `probe` until it answers `Ok`, at most for `limit`.
///
/// The probe says in its error what it saw instead (`anyhow::ensure!` reads well there); the last such
/// reason is in the error of this function.
///
/// # Errors
/// When the probe never answered `Ok` in time.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::time::Duration;
/// let error = testkit::eventually("the sun to rise", Duration::from_millis(10), async || {
///     anyhow::ensure!(false, "it is still dark");
///     Ok(())
/// });
/// assert!(format!("{:#}", error.await.unwrap_err()).contains("it is still dark"));
/// # });
/// ```
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut last = anyhow!("the first look never ended");
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        // A look that hangs must not outlive the limit, nor hide what was seen before.
        match tokio::time::timeout(rest, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(reason)) => last = reason,
            Err(_) => return Err(last.context(format!("waited {limit:?} for {what}"))),
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(last.context(format!("waited {limit:?} for {what}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_with_the_first_success() {
        let mut looks = 0;
        let answer = eventually("three looks", Duration::from_secs(5), async || {
            looks += 1;
            anyhow::ensure!(looks == 3, "only {looks}");
            Ok(looks)
        });
        assert_eq!(answer.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_hanging_look_keeps_the_last_reason() {
        let mut first = true;
        let answer = eventually::<()>("an end", Duration::from_millis(300), async || {
            anyhow::ensure!(!std::mem::take(&mut first), "not yet");
            std::future::pending().await
        });
        let error = format!("{:#}", answer.await.unwrap_err());
        assert_eq!(error, "waited 300ms for an end: not yet");
    }
}
