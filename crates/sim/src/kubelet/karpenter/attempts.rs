//! Attempts of a Karpenter to launch claims: their chances, and what it remembers of them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::rng::Rng;

/// Its chances, and what it remembers.
#[derive(Clone, Debug)]
pub struct Karpenter {
    /// Attempts in a thousand that fail, in one of four ways.
    failures_permille: u64,
    /// Instances that it has launched.
    pub launches: u64,
    /// Times of the next attempts, by the claim's UID.
    pub(super) attempts: BTreeMap<String, Timestamp>,
    /// The end of every attempt, in place of chance.
    forced: Option<Attempt>,
    rng: Rng,
}

/// End of one attempt.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attempt {
    Launched,
    /// The instance never joins.
    Silent,
    NoCapacity,
    Failed,
    /// The cloud does not answer until after the timeout.
    Hangs,
}

impl Karpenter {
    /// Returns one whose attempts all succeed.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            failures_permille: 0,
            launches: 0,
            attempts: BTreeMap::new(),
            forced: None,
            rng: Rng::new(0x6b61),
        }
    }

    /// Lets some attempts fail, as the seed chooses. Its stream is its own, so that worlds without it stay as they are.
    pub(crate) fn trouble(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
        self.failures_permille = *self.rng.pick(&[0, 200, 500]).unwrap_or(&0);
    }

    /// Lets every launch fail from now on.
    pub fn only_failed_launches(&mut self) {
        self.forced = Some(Attempt::Failed);
    }

    /// Lets no further instance join.
    pub fn only_silent_instances(&mut self) {
        self.forced = Some(Attempt::Silent);
    }

    /// Lets every attempt succeed from now on.
    pub fn heal(&mut self) {
        self.forced = None;
        self.failures_permille = 0;
    }

    pub(super) fn attempt(&mut self) -> Attempt {
        if let Some(forced) = self.forced {
            return forced;
        }
        if !self.rng.permille(self.failures_permille) {
            return Attempt::Launched;
        }
        let ways = [
            Attempt::Silent,
            Attempt::NoCapacity,
            Attempt::Failed,
            Attempt::Hangs,
        ];
        *self.rng.pick(&ways).unwrap_or(&Attempt::Failed)
    }
}
