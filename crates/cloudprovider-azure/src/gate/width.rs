//! How many writes may be under way at once: grows by one after a round of successes, halves when the cluster
//! was busy. Pure.

/// An adaptive number of permits, at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Width {
    width: u32,
    max: u32,
    in_flight: u32,
    /// Successes since the width last changed.
    successes: u32,
    /// Counts shrinkings, so that the refusals of one burst shrink it once.
    epoch: u64,
}

/// The right to one write; belongs to the epoch in which it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Taken,
    /// Another operation was in the way.
    Busy,
    /// Neither: says nothing about the width.
    Other,
}

impl Width {
    /// `start` permits at first, never more than `max`.
    #[must_use]
    pub fn new(start: u32, max: u32) -> Self {
        let max = max.max(1);
        Self {
            width: start.clamp(1, max),
            max,
            in_flight: 0,
            successes: 0,
            epoch: 0,
        }
    }

    /// Asks for the right to one write. `extra` permits beyond the width serve what must not wait.
    pub fn enter(&mut self, extra: u32) -> Option<Ticket> {
        (self.in_flight < self.width.saturating_add(extra)).then(|| {
            self.in_flight += 1;
            Ticket(self.epoch)
        })
    }

    /// Gives the right back.
    pub fn leave(&mut self, ticket: Ticket, verdict: Verdict) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match verdict {
            Verdict::Taken => {
                self.successes += 1;
                if self.successes >= self.width && self.width < self.max {
                    self.width += 1;
                    self.successes = 0;
                }
            }
            Verdict::Busy if ticket.0 == self.epoch => {
                self.width = (self.width / 2).max(1);
                self.successes = 0;
                self.epoch += 1;
            }
            Verdict::Busy | Verdict::Other => {}
        }
    }

    /// Permits there are now.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_more_than_the_width_at_once() {
        let mut width = Width::new(2, 8);
        let first = width.enter(0).unwrap();
        assert!(width.enter(0).is_some());
        assert_eq!(width.enter(0), None);
        assert!(width.enter(1).is_some(), "a deletion has a permit more");
        width.leave(first, Verdict::Other);
        assert_eq!(width.width(), 2);
    }

    #[test]
    fn the_refusals_of_one_burst_shrink_it_once() {
        let mut width = Width::new(4, 8);
        let tickets: Vec<Ticket> = (0..4).filter_map(|_| width.enter(0)).collect();
        for ticket in tickets {
            width.leave(ticket, Verdict::Busy);
        }
        assert_eq!(width.width(), 2);
    }

    #[test]
    fn a_round_of_successes_widens_it_up_to_the_limit() {
        let mut width = Width::new(1, 3);
        for _ in 0..20 {
            let ticket = width.enter(0).unwrap();
            width.leave(ticket, Verdict::Taken);
        }
        assert_eq!(width.width(), 3);
    }

    proptest! {
        #[test]
        fn it_stays_within_bounds_and_loses_no_permit(
            start in 0_u32..10, max in 0_u32..10, steps in prop::collection::vec(0_u8..4, 0..200),
        ) {
            let mut width = Width::new(start, max);
            let mut held = Vec::new();
            for step in steps {
                let verdict = [Verdict::Taken, Verdict::Busy, Verdict::Other][usize::from(step) % 3];
                if step == 3 || held.is_empty() {
                    held.extend(width.enter(0));
                } else {
                    width.leave(held.remove(0), verdict);
                }
                prop_assert!((1..=max.max(1)).contains(&width.width()));
            }
            for ticket in held {
                width.leave(ticket, Verdict::Other);
            }
            prop_assert!(width.enter(0).is_some());
        }
    }
}
