//! Liveness of a loop that must move at least every few minutes. A loop that is stuck needs a restart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time without a step after which a loop counts as stuck. Every loop pauses much shorter.
const LIMIT: Duration = Duration::from_mins(5);

/// The last step of a loop; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Beat(Arc<Mutex<Instant>>);

impl Beat {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Records a step.
    pub(crate) fn mark(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Fails if the loop is stuck.
    pub(crate) fn check(&self) -> Result<(), String> {
        let still = self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if still <= LIMIT {
            return Ok(());
        }
        Err(format!("it has not moved for {} s", still.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_move_is_reported() {
        let beat = Beat::new();
        tokio::time::advance(LIMIT).await;
        assert_eq!(beat.check(), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(beat.check(), Err("it has not moved for 301 s".to_owned()));
        beat.mark();
        assert_eq!(beat.check(), Ok(()));
    }
}
