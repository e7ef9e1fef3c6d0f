//! The bounds of our writes in time. None is sent after the lease may be another's. A new claim carries what a policy needs
//! to refuse it when it arrives late.
//!
//! Time counts while the machine is suspended, unlike in `Instant`: a replica that wakes up must not write.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Time for which a claim that was sent without a response may still be created, if there is no election.
pub(crate) const UNANSWERED: Duration = Duration::from_secs(45);

/// An instant of a clock that also counts while the machine is suspended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    awake: Instant,
    boot: Duration,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            awake: Instant::now(),
            boot: since_boot(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.awake.elapsed().max(since_boot().saturating_sub(self.boot))
    }
}

fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// The right to write, as the lease gives it; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence {
    state: Arc<RwLock<FenceState>>,
}

#[derive(Debug, Default)]
struct FenceState {
    right: Right,
    unanswered: Option<Moment>,
}

#[derive(Debug, Default)]
enum Right {
    /// Another replica may lead.
    #[default]
    None,
    /// There is no election.
    Unlimited,
    /// The lease was renewed.
    Lease {
        renewed: Moment,
        margin: Duration,
        token: Option<String>,
    },
}

/// The right to send one write now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WritePermit {
    /// Time in which the write must have taken effect; `None` without an election.
    pub(crate) left: Option<Duration>,
    /// Token that a new claim carries; `None` without an election.
    pub(crate) token: Option<String>,
}

impl Fence {
    /// Allows writes without a limit, because there is no election.
    pub(crate) fn open(&self) {
        self.set(Right::Unlimited);
    }

    /// Allows writes for `margin` after the lease was renewed.
    pub(crate) fn renewed(&self, renewed: Moment, margin: Duration, token: Option<String>) {
        self.set(Right::Lease {
            renewed,
            margin,
            token,
        });
    }

    /// Forbids all writes.
    pub(crate) fn close(&self) {
        self.set(Right::None);
    }

    fn set(&self, right: Right) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).right = right;
    }

    /// Returns the right to send one write, or `None` if another replica may lead.
    pub(crate) fn permit(&self) -> Option<WritePermit> {
        match &self.state.read().unwrap_or_else(PoisonError::into_inner).right {
            Right::None => None,
            Right::Unlimited => Some(WritePermit {
                left: None,
                token: None,
            }),
            Right::Lease {
                renewed,
                margin,
                token,
            } => {
                let left = margin.saturating_sub(renewed.elapsed());
                (left > Duration::ZERO).then(|| WritePermit {
                    left: Some(left),
                    token: token.clone(),
                })
            }
        }
    }

    /// Records that a new claim was sent and no response arrived.
    pub(crate) fn record_unanswered(&self) {
        let now = Moment::now();
        self.state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .unanswered = Some(now);
    }

    /// Returns true if a claim may still be created by a request whose response was lost.
    ///
    /// The admission policy of the chart refuses such a request once the lease was renewed a whole duration after the
    /// renewal that the request names. A renewal may be two thirds of a duration away, and admitting takes as long again.
    pub(crate) fn awaits_unanswered(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let bound = match &state.right {
            // Three durations.
            Right::Lease { margin, .. } => *margin * 9 / 2,
            Right::None | Right::Unlimited => UNANSWERED,
        };
        state.unanswered.is_some_and(|at| at.elapsed() < bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_after_the_margin() {
        let fence = Fence::default();
        assert_eq!(fence.permit(), None, "not elected");
        fence.renewed(Moment::now(), MARGIN, Some("4/x".to_owned()));
        tokio::time::advance(Duration::from_secs(9)).await;
        let permit = fence.permit().unwrap();
        assert!(permit.left.unwrap() <= Duration::from_secs(1), "{permit:?}");
        assert_eq!(permit.token.as_deref(), Some("4/x"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(fence.permit(), None);
        fence.renewed(Moment::now(), MARGIN, None);
        assert!(fence.permit().is_some());
        fence.close();
        assert_eq!(fence.permit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspended_machine_loses_the_right() {
        let fence = Fence::default();
        // Suspended for eleven seconds: only the clock since boot went on.
        let renewed = Moment {
            boot: since_boot().saturating_sub(Duration::from_secs(11)),
            ..Moment::now()
        };
        fence.renewed(renewed, MARGIN, None);
        assert_eq!(fence.permit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_response_is_remembered_for_a_while() {
        let fence = Fence::default();
        assert!(!fence.awaits_unanswered());
        fence.record_unanswered();
        assert!(fence.awaits_unanswered());
        tokio::time::advance(UNANSWERED).await;
        assert!(!fence.awaits_unanswered());
    }
}
