//! An adaptive limit on concurrent writes (additive increase, multiplicative decrease). Pure.
//!
//! It grows by one after a round of successes and halves when the cluster was busy.

/// An adaptive number of slots, at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AimdLimit {
    current: u32,
    max: u32,
    in_flight: u32,
    /// Successes since the limit last changed.
    successes: u32,
    /// Number of halvings, so that the refusals of one burst halve the limit once.
    epoch: u64,
}

/// The right to one write, and the epoch in which it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WriteSlot(u64);

/// Outcome of a write, as far as it concerns the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// The cloud accepted it.
    Accepted,
    /// Another operation held the cluster or the pool.
    Busy,
    /// Anything else, which does not change the limit.
    Neutral,
}

impl AimdLimit {
    /// A limit of `start` slots that never exceeds `max`.
    #[must_use]
    pub(super) fn new(start: u32, max: u32) -> Self {
        let max = max.max(1);
        Self {
            current: start.clamp(1, max),
            max,
            in_flight: 0,
            successes: 0,
            epoch: 0,
        }
    }

    /// Takes a slot if one is free. `extra` slots beyond the limit are for writes that must not wait.
    pub(super) fn acquire(&mut self, extra: u32) -> Option<WriteSlot> {
        (self.in_flight < self.current.saturating_add(extra)).then(|| {
            self.in_flight += 1;
            WriteSlot(self.epoch)
        })
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self, slot: WriteSlot, outcome: WriteOutcome) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            WriteOutcome::Accepted => {
                self.successes += 1;
                if self.successes >= self.current && self.current < self.max {
                    self.current += 1;
                    self.successes = 0;
                }
            }
            WriteOutcome::Busy if slot.0 == self.epoch => {
                self.current = (self.current / 2).max(1);
                self.successes = 0;
                self.epoch += 1;
            }
            WriteOutcome::Busy | WriteOutcome::Neutral => {}
        }
    }

    /// Current number of slots.
    #[cfg(test)]
    pub(super) fn current(&self) -> u32 {
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_stay_within_the_limit() {
        let mut limit = AimdLimit::new(2, 8);
        let first = limit.acquire(0).unwrap();
        assert!(limit.acquire(0).is_some());
        assert_eq!(limit.acquire(0), None);
        assert!(limit.acquire(1).is_some(), "a deletion has one slot more");
        limit.release(first, WriteOutcome::Neutral);
        assert_eq!(limit.current(), 2);
    }

    #[test]
    fn the_refusals_of_one_burst_halve_it_once() {
        let mut limit = AimdLimit::new(4, 8);
        let slots: Vec<WriteSlot> = (0..4).filter_map(|_| limit.acquire(0)).collect();
        for slot in slots {
            limit.release(slot, WriteOutcome::Busy);
        }
        assert_eq!(limit.current(), 2);
    }

    #[test]
    fn a_round_of_successes_raises_it_up_to_the_maximum() {
        let mut limit = AimdLimit::new(1, 3);
        for _ in 0..20 {
            let slot = limit.acquire(0).unwrap();
            limit.release(slot, WriteOutcome::Accepted);
        }
        assert_eq!(limit.current(), 3);
    }

    proptest! {
        #[test]
        fn it_stays_within_bounds_and_loses_no_slot(
            start in 0_u32..10, max in 0_u32..10, steps in prop::collection::vec(0_u8..4, 0..200),
        ) {
            let mut limit = AimdLimit::new(start, max);
            let mut held = Vec::new();
            for step in steps {
                let outcome = [WriteOutcome::Accepted, WriteOutcome::Busy, WriteOutcome::Neutral][usize::from(step) % 3];
                if step == 3 || held.is_empty() {
                    held.extend(limit.acquire(0));
                } else {
                    limit.release(held.remove(0), outcome);
                }
                prop_assert!((1..=max.max(1)).contains(&limit.current()));
            }
            for slot in held {
                limit.release(slot, WriteOutcome::Neutral);
            }
            prop_assert!(limit.acquire(0).is_some());
        }
    }
}
