//! Remembered verdicts about tokens, bounded in number. Tokens are kept as digests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tonic::Status;

/// Most peers whose refusals are counted.
const MAX_PEERS: usize = 4096;

/// A verdict about a token.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    Admitted,
    Refused(Status),
    /// The API server did not answer. It is not remembered.
    Unknown(Status),
}

impl Verdict {
    pub(super) fn into_result(self) -> Result<(), Status> {
        match self {
            Self::Admitted => Ok(()),
            Self::Refused(status) | Self::Unknown(status) => Err(status),
        }
    }
}

/// The last verdict about one token.
#[derive(Debug, Default)]
pub(super) struct KnownToken {
    /// Held by the call that reviews the token.
    pub(super) turn: tokio::sync::Mutex<()>,
    state: Mutex<Option<TimedVerdict>>,
}

#[derive(Debug)]
struct TimedVerdict {
    verdict: Verdict,
    fresh_until: Instant,
    grace_until: Instant,
}

impl KnownToken {
    /// Returns the verdict if it can be used without asking again.
    pub(super) fn fresh(&self, now: Instant) -> Option<Verdict> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.as_ref().filter(|state| now < state.fresh_until)?;
        Some(state.verdict.clone())
    }

    /// Reports whether the caller was admitted recently enough to stay without an answer.
    pub(super) fn has_grace(&self, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .as_ref()
            .is_some_and(|state| matches!(state.verdict, Verdict::Admitted) && now < state.grace_until)
    }

    /// Remembers a verdict and returns it.
    pub(super) fn set(&self, verdict: Verdict, fresh_until: Instant, grace_until: Instant) -> Verdict {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = Some(TimedVerdict {
            verdict: verdict.clone(),
            fresh_until,
            grace_until,
        });
        verdict
    }

    fn is_admitted(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(&*state, Some(state) if matches!(state.verdict, Verdict::Admitted))
    }
}

/// All remembered tokens, and the refusals of peers.
#[derive(Debug)]
pub(super) struct Verdicts {
    max_tokens: usize,
    max_refusals: u32,
    window: Duration,
    tokens: HashMap<[u8; 32], (Arc<KnownToken>, Instant)>,
    refusals: HashMap<IpAddr, (u32, Instant)>,
}

impl Verdicts {
    pub(super) fn new(max_tokens: usize, max_refusals: u32, window: Duration) -> Self {
        Self {
            max_tokens,
            max_refusals,
            window,
            tokens: HashMap::new(),
            refusals: HashMap::new(),
        }
    }

    /// Returns the entry of a token; `None` if it is unknown and its peer had too many refused.
    pub(super) fn entry(&mut self, token: &str, peer: IpAddr, now: Instant) -> Option<Arc<KnownToken>> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some((entry, used)) = self.tokens.get_mut(&digest) {
            *used = now;
            return Some(Arc::clone(entry));
        }
        let refused = self.refusals.get(&peer);
        if refused.is_some_and(|(count, since)| *count >= self.max_refusals && now < *since + self.window) {
            return None;
        }
        if self.tokens.len() >= self.max_tokens {
            self.forget_one();
        }
        let entry = Arc::<KnownToken>::default();
        self.tokens.insert(digest, (Arc::clone(&entry), now));
        Some(entry)
    }

    /// Counts a refused token of a peer.
    pub(super) fn refused(&mut self, peer: IpAddr, now: Instant) {
        if self.refusals.len() >= MAX_PEERS {
            let window = self.window;
            self.refusals.retain(|_, (_, since)| now < *since + window);
        }
        if self.refusals.len() >= MAX_PEERS && !self.refusals.contains_key(&peer) {
            return;
        }
        let (count, since) = self.refusals.entry(peer).or_insert((0, now));
        if now >= *since + self.window {
            (*count, *since) = (0, now);
        }
        *count += 1;
    }

    /// Forgets the token that was used longest ago, one that is not admitted first.
    fn forget_one(&mut self) {
        let oldest = self
            .tokens
            .iter()
            .min_by_key(|(_, (entry, used))| (entry.is_admitted(), *used));
        if let Some(digest) = oldest.map(|(digest, _)| *digest) {
            self.tokens.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn a_flood_of_tokens_displaces_no_admitted_caller() {
        let now = Instant::now();
        let mut verdicts = Verdicts::new(3, 100, Duration::from_secs(60));
        let known = verdicts.entry("known", peer(1), now).unwrap();
        known.set(Verdict::Admitted, now + Duration::from_secs(60), now);
        for number in 0..50 {
            verdicts.entry(&format!("forged-{number}"), peer(2), now).unwrap();
            assert!(verdicts.tokens.len() <= 3);
        }
        assert!(Arc::ptr_eq(
            &known,
            &verdicts.entry("known", peer(1), now).unwrap()
        ));
    }

    #[test]
    fn a_peer_with_many_refusals_waits_and_others_do_not() {
        let now = Instant::now();
        let mut verdicts = Verdicts::new(100, 3, Duration::from_secs(60));
        let known = verdicts.entry("known", peer(1), now);
        for _ in 0..3 {
            assert!(verdicts.entry("a", peer(1), now).is_some());
            verdicts.refused(peer(1), now);
        }
        assert!(verdicts.entry("b", peer(1), now).is_none());
        assert!(verdicts.entry("b", peer(2), now).is_some());
        assert!(verdicts.entry("known", peer(1), now).is_some() && known.is_some());
        assert!(
            verdicts
                .entry("c", peer(1), now + Duration::from_secs(60))
                .is_some()
        );
    }

    #[test]
    fn grace_is_for_the_admitted_alone() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let entry = KnownToken::default();
        assert!(!entry.has_grace(now) && entry.fresh(now).is_none());
        entry.set(Verdict::Admitted, now, later);
        assert!(entry.has_grace(now) && entry.fresh(now).is_none() && !entry.has_grace(later));
        entry.set(Verdict::Refused(Status::unauthenticated("x")), later, later);
        assert!(!entry.has_grace(now) && entry.fresh(now).is_some());
    }
}
