//! Which tokens of which sequences go into the next step of the model: continuous batching.
//!
//! Pure: knows sequences as numbers of tokens, and neither texts nor the model. Sequences that generate take part in every
//! step; what is left of a step's budget goes to prompts, oldest first, in pieces. A sequence enters only when the cache has
//! room for all it may become, so nothing that runs ever has to stop.

use std::collections::VecDeque;

/// Limits, all in tokens or sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most sequences in one step.
    pub(crate) sequences: usize,
    /// Most sequences that wait.
    pub(crate) queue: usize,
    /// Most tokens of one step.
    pub(crate) step_tokens: usize,
    /// Positions that all running sequences together may have in the cache.
    pub(crate) cache: usize,
}

/// Names a sequence.
pub(crate) type Id = u64;

/// A sequence that wants to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: Id,
    /// Tokens of the prompt; at least one.
    pub(crate) prompt: usize,
    /// Most positions it will have: prompt and answer.
    pub(crate) planned: usize,
}

/// Why a sequence is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Come again later.
    QueueFull,
    /// It would never fit the cache.
    TooLarge,
}

/// One sequence's share of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) id: Id,
    /// How many of its next tokens to compute.
    pub(crate) tokens: usize,
    /// Whether the step brings it to where the next token is picked.
    pub(crate) picks: bool,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    job: Job,
    /// Positions that are computed.
    done: usize,
}

/// All sequences that are not finished.
#[derive(Debug)]
pub(crate) struct Scheduler {
    limits: Limits,
    waiting: VecDeque<Job>,
    running: Vec<Running>,
}

impl Scheduler {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: VecDeque::new(),
            running: Vec::new(),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Share of the cache that is promised, 0 to 1.
    pub(crate) fn cache_use(&self) -> f64 {
        self.promised() as f64 / self.limits.cache.max(1) as f64
    }

    fn promised(&self) -> usize {
        self.running.iter().map(|running| running.job.planned).sum()
    }

    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Refusal> {
        if job.planned > self.limits.cache {
            return Err(Refusal::TooLarge);
        }
        // What can start at once does not have to wait.
        let starts = self.waiting.is_empty() && self.has_room(job);
        if !starts && self.waiting.len() >= self.limits.queue {
            return Err(Refusal::QueueFull);
        }
        self.waiting.push_back(job);
        Ok(())
    }

    fn has_room(&self, job: Job) -> bool {
        self.running.len() < self.limits.sequences && self.promised() + job.planned <= self.limits.cache
    }

    /// Forgets a sequence, because it is finished or nobody wants it any more.
    pub(crate) fn remove(&mut self, id: Id) {
        self.waiting.retain(|job| job.id != id);
        self.running.retain(|running| running.job.id != id);
    }

    /// Lets sequences in that have room, oldest first, and names them.
    pub(crate) fn admit(&mut self) -> Vec<Id> {
        let mut admitted = Vec::new();
        while let Some(job) = self.waiting.front().copied().filter(|job| self.has_room(*job)) {
            self.waiting.pop_front();
            self.running.push(Running { job, done: 0 });
            admitted.push(job.id);
        }
        admitted
    }

    /// Notes that the first positions of an admitted sequence need not be computed. At least one of its prompt has to be.
    pub(crate) fn skip(&mut self, id: Id, positions: usize) {
        if let Some(running) = self.running.iter_mut().find(|running| running.job.id == id) {
            running.done = positions.min(running.job.prompt - 1);
        }
    }

    /// The next step; empty when nothing runs.
    pub(crate) fn plan(&self) -> Vec<Share> {
        let generating = self
            .running
            .iter()
            .filter(|running| running.done >= running.job.prompt);
        let mut shares: Vec<Share> = generating
            .map(|running| Share {
                id: running.job.id,
                tokens: 1,
                picks: true,
            })
            .collect();
        let mut budget = self.limits.step_tokens.saturating_sub(shares.len());
        for running in self
            .running
            .iter()
            .filter(|running| running.done < running.job.prompt)
        {
            let left = running.job.prompt - running.done;
            // Even beside many that generate prompts go on, if slowly.
            let tokens = left.min(budget.max(usize::from(shares.is_empty())));
            if tokens == 0 {
                break;
            }
            budget = budget.saturating_sub(tokens);
            shares.push(Share {
                id: running.job.id,
                tokens,
                picks: tokens == left,
            });
        }
        shares
    }

    /// Notes that a planned step was carried out.
    pub(crate) fn advance(&mut self, shares: &[Share]) {
        for share in shares {
            if let Some(running) = self.running.iter_mut().find(|running| running.job.id == share.id) {
                running.done += share.tokens;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        sequences: 2,
        queue: 2,
        step_tokens: 8,
        cache: 40,
    };

    fn job(id: Id, prompt: usize, planned: usize) -> Job {
        Job { id, prompt, planned }
    }

    fn share(id: Id, tokens: usize, picks: bool) -> Share {
        Share { id, tokens, picks }
    }

    #[test]
    fn prompts_go_in_pieces_beside_what_generates() {
        let mut scheduler = Scheduler::new(LIMITS);
        scheduler.submit(job(1, 3, 10)).unwrap();
        scheduler.submit(job(2, 10, 20)).unwrap();
        assert_eq!(scheduler.admit(), [1, 2]);
        let mut next = || {
            let plan = scheduler.plan();
            scheduler.advance(&plan);
            plan
        };
        assert_eq!(next(), [share(1, 3, true), share(2, 5, false)]);
        assert_eq!(next(), [share(1, 1, true), share(2, 5, true)]);
        assert_eq!(next(), [share(1, 1, true), share(2, 1, true)]);
    }

    #[test]
    fn sequences_wait_for_a_place_and_for_the_cache() {
        let mut scheduler = Scheduler::new(LIMITS);
        for id in 1..=3 {
            scheduler.submit(job(id, 1, 15)).unwrap();
            scheduler.admit();
        }
        assert_eq!((scheduler.running(), scheduler.waiting()), (2, 1));
        scheduler.remove(1);
        assert_eq!(scheduler.admit(), [3]);
        scheduler.submit(job(4, 1, 20)).unwrap();
        scheduler.remove(3);
        // A place is free, and 20 of the cache.
        assert_eq!(scheduler.admit(), [4]);
        assert!((scheduler.cache_use() - 35.0 / 40.0).abs() < 1e-9);
    }

    #[test]
    fn too_much_is_refused() {
        let mut scheduler = Scheduler::new(LIMITS);
        assert_eq!(scheduler.submit(job(1, 1, 41)), Err(Refusal::TooLarge));
        for id in 0..2 {
            scheduler.submit(job(id, 1, 20)).unwrap();
            scheduler.admit();
        }
        assert_eq!(
            (scheduler.submit(job(2, 1, 5)), scheduler.submit(job(3, 1, 5))),
            (Ok(()), Ok(()))
        );
        assert_eq!(scheduler.submit(job(4, 1, 5)), Err(Refusal::QueueFull));
        scheduler.remove(2);
        assert_eq!(scheduler.submit(job(4, 1, 5)), Ok(()));
    }

    #[test]
    fn a_known_beginning_is_skipped_but_never_all_of_a_prompt() {
        let mut scheduler = Scheduler::new(LIMITS);
        scheduler.submit(job(1, 6, 10)).unwrap();
        scheduler.admit();
        scheduler.skip(1, 4);
        assert_eq!(scheduler.plan(), [share(1, 2, true)]);
        scheduler.skip(1, 6);
        assert_eq!(scheduler.plan(), [share(1, 1, true)]);
    }

    proptest! {
        /// Whatever arrives and goes: limits hold, everybody gets on, each prompt is computed once.
        #[test]
        fn every_sequence_ends(jobs in prop::collection::vec((1_usize..30, 1_usize..10), 1..20), cancelled in any::<u64>()) {
            let mut scheduler = Scheduler::new(Limits { queue: 20, ..LIMITS });
            let mut left = std::collections::BTreeMap::new();
            for (id, (prompt, answer)) in (0_u64..).zip(&jobs) {
                scheduler.submit(job(id, *prompt, prompt + answer)).unwrap();
                left.insert(id, (*prompt, *answer));
            }
            let mut steps = 0;
            while !scheduler.is_idle() {
                if steps == 3 {
                    let gone = cancelled % jobs.len() as u64;
                    scheduler.remove(gone);
                    left.remove(&gone);
                }
                scheduler.admit();
                let plan = scheduler.plan();
                prop_assert!(!plan.is_empty() || scheduler.is_idle());
                prop_assert!(plan.len() <= LIMITS.sequences);
                prop_assert!(plan.iter().map(|share| share.tokens).sum::<usize>() <= LIMITS.step_tokens);
                prop_assert!(scheduler.cache_use() <= 1.0);
                scheduler.advance(&plan);
                for share in plan {
                    let (prompt, answer) = left.get_mut(&share.id).unwrap();
                    if *prompt > 0 {
                        prop_assert!(share.tokens <= *prompt);
                        *prompt -= share.tokens;
                        prop_assert_eq!(share.picks, *prompt == 0);
                    }
                    if share.picks {
                        *answer -= 1;
                        if *answer == 0 {
                            scheduler.remove(share.id);
                            left.remove(&share.id);
                        }
                    }
                }
                steps += 1;
                prop_assert!(steps < 2000);
            }
            prop_assert!(left.is_empty());
        }
    }
}
