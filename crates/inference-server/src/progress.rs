//! Progress of the engine: the time without a token while requests are in flight.
//!
//! A process can be alive while its engine hangs, on a device or a lock. Then nothing but a restart helps, and only the absence
//! of tokens shows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Requests in flight and the last sign of progress. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct EngineProgress(Arc<Mutex<ProgressState>>);

#[derive(Debug)]
struct ProgressState {
    requests: usize,
    /// Time without progress before `since`. It outlasts requests: clients of a hung engine give up and ask again.
    silent: Duration,
    since: Instant,
    /// Value of a counter of tokens when it was seen last.
    seen: u64,
}

/// One request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(EngineProgress);

impl EngineProgress {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(ProgressState {
            requests: 0,
            silent: Duration::ZERO,
            since: Instant::now(),
            seen: 0,
        })))
    }

    /// Counts a request.
    pub(crate) fn begin(&self) -> InFlight {
        let mut state = self.state();
        if state.requests == 0 {
            state.since = Instant::now();
        }
        state.requests += 1;
        InFlight(self.clone())
    }

    /// Records that the engine computed something.
    pub(crate) fn made(&self) {
        self.state().made();
    }

    /// Records progress if a counter of tokens has another value than at the last call.
    pub(crate) fn counted(&self, tokens: u64) {
        let mut state = self.state();
        if state.seen != tokens {
            state.seen = tokens;
            state.made();
        }
    }

    /// The time with requests in flight and without progress; `None` while none is in flight.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let state = self.state();
        (state.requests > 0).then(|| state.silent + state.since.elapsed())
    }

    /// The time without progress, if it exceeds the limit.
    pub(crate) fn stalled(&self, limit: Duration) -> Option<Duration> {
        self.silence().filter(|silence| *silence > limit)
    }

    fn state(&self) -> MutexGuard<'_, ProgressState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressState {
    fn made(&mut self) {
        self.silent = Duration::ZERO;
        self.since = Instant::now();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests = state.requests.saturating_sub(1);
        if state.requests == 0 {
            let silent = state.since.elapsed();
            state.silent += silent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn only_requests_without_progress_count() {
        let progress = EngineProgress::new();
        std::thread::sleep(SHORT);
        assert_eq!(progress.silence(), None);
        let (one, two) = (progress.begin(), progress.begin());
        std::thread::sleep(SHORT);
        assert!(progress.stalled(SHORT / 2).is_some());
        assert_eq!(progress.stalled(LONG), None);
        progress.counted(7);
        let after = progress.silence().unwrap();
        std::thread::sleep(SHORT);
        progress.counted(7);
        assert!(progress.silence().unwrap() > after);
        drop((one, two));
        assert_eq!(progress.silence(), None);
    }

    #[test]
    fn clients_that_ask_again_do_not_hide_a_hang() {
        let progress = EngineProgress::new();
        for _ in 0..3 {
            let request = progress.begin();
            std::thread::sleep(SHORT);
            drop(request);
        }
        let _request = progress.begin();
        assert!(progress.stalled(SHORT * 2).is_some());
        progress.made();
        assert_eq!(progress.stalled(LONG), None);
    }
}
