//! Continuous batching: chooses the tokens of each sequence that go into the next step of the model.
//!
//! Pure: a sequence is a number of tokens here; texts and the model are unknown. Sequences that generate take part in every
//! step. The rest of the budget of a step goes to prompts, oldest first, in chunks. A sequence is admitted only when the cache
//! has room for its full length, so a running sequence is never preempted.

use std::collections::VecDeque;

/// Limits in tokens or sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SchedulerLimits {
    /// Maximum of sequences in one step.
    pub(crate) sequences: usize,
    /// Maximum of waiting sequences.
    pub(crate) queue: usize,
    /// Maximum of tokens in one step.
    pub(crate) step_tokens: usize,
    /// Positions in the cache, for all running sequences together.
    pub(crate) cache: usize,
}

/// Identifies a sequence.
pub(crate) type Id = u64;

/// A sequence to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SequenceJob {
    pub(crate) id: Id,
    /// Tokens of the prompt; at least one.
    pub(crate) prompt: usize,
    /// Positions that it needs at most: prompt and completion.
    pub(crate) capacity: usize,
}

/// Reason for a refused sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionError {
    /// Too many sequences wait; the caller may retry.
    QueueFull,
    /// It is larger than the whole cache.
    TooLarge,
}

/// Tokens of one sequence in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScheduledChunk {
    pub(crate) id: Id,
    /// Number of its next tokens to compute.
    pub(crate) tokens: usize,
    /// The chunk reaches the end of the known tokens, so the next token is sampled after it.
    pub(crate) samples: bool,
}

#[derive(Clone, Copy, Debug)]
struct RunningSequence {
    job: SequenceJob,
    /// Positions that are computed.
    done: usize,
}

/// All sequences that are not finished.
#[derive(Debug)]
pub(crate) struct Scheduler {
    limits: SchedulerLimits,
    waiting: VecDeque<SequenceJob>,
    running: Vec<RunningSequence>,
}

impl Scheduler {
    pub(crate) fn new(limits: SchedulerLimits) -> Self {
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

    /// Returns the positions of the whole cache.
    pub(crate) fn cache(&self) -> usize {
        self.limits.cache
    }

    fn reserved(&self) -> usize {
        self.running.iter().map(|running| running.job.capacity).sum()
    }

    pub(crate) fn submit(&mut self, job: SequenceJob) -> Result<(), AdmissionError> {
        if job.capacity > self.limits.cache {
            return Err(AdmissionError::TooLarge);
        }
        // A sequence that can start at once does not count against the queue.
        let starts = self.waiting.is_empty() && self.has_room(job);
        if !starts && self.waiting.len() >= self.limits.queue {
            return Err(AdmissionError::QueueFull);
        }
        self.waiting.push_back(job);
        Ok(())
    }

    fn has_room(&self, job: SequenceJob) -> bool {
        self.running.len() < self.limits.sequences && self.reserved() + job.capacity <= self.limits.cache
    }

    /// Removes a sequence that is finished or canceled.
    pub(crate) fn remove(&mut self, id: Id) {
        self.waiting.retain(|job| job.id != id);
        self.running.retain(|running| running.job.id != id);
    }

    /// Admits the sequences for which there is room, oldest first, and returns their ids.
    pub(crate) fn admit(&mut self) -> Vec<Id> {
        let mut admitted = Vec::new();
        while let Some(job) = self.waiting.front().copied().filter(|job| self.has_room(*job)) {
            self.waiting.pop_front();
            self.running.push(RunningSequence { job, done: 0 });
            admitted.push(job.id);
        }
        admitted
    }

    /// Records that the first positions of an admitted sequence are known. At least one position of the prompt is computed.
    pub(crate) fn skip(&mut self, id: Id, positions: usize) {
        if let Some(running) = self.running.iter_mut().find(|running| running.job.id == id) {
            running.done = positions.min(running.job.prompt - 1);
        }
    }

    /// Returns the next step, which is empty when nothing runs.
    pub(crate) fn plan(&self) -> Vec<ScheduledChunk> {
        let generating = self
            .running
            .iter()
            .filter(|running| running.done >= running.job.prompt);
        let mut chunks: Vec<ScheduledChunk> = generating
            .map(|running| ScheduledChunk {
                id: running.job.id,
                tokens: 1,
                samples: true,
            })
            .collect();
        let mut budget = self.limits.step_tokens.saturating_sub(chunks.len());
        for running in self
            .running
            .iter()
            .filter(|running| running.done < running.job.prompt)
        {
            let left = running.job.prompt - running.done;
            // A prompt advances by one token even if generating sequences use up the budget.
            let tokens = left.min(budget.max(usize::from(chunks.is_empty())));
            if tokens == 0 {
                break;
            }
            budget = budget.saturating_sub(tokens);
            chunks.push(ScheduledChunk {
                id: running.job.id,
                tokens,
                samples: tokens == left,
            });
        }
        chunks
    }

    /// Records that a planned step was computed.
    pub(crate) fn advance(&mut self, chunks: &[ScheduledChunk]) {
        for chunk in chunks {
            if let Some(running) = self.running.iter_mut().find(|running| running.job.id == chunk.id) {
                running.done += chunk.tokens;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: SchedulerLimits = SchedulerLimits {
        sequences: 2,
        queue: 2,
        step_tokens: 8,
        cache: 40,
    };

    fn job(id: Id, prompt: usize, capacity: usize) -> SequenceJob {
        SequenceJob { id, prompt, capacity }
    }

    fn chunk(id: Id, tokens: usize, samples: bool) -> ScheduledChunk {
        ScheduledChunk { id, tokens, samples }
    }

    #[test]
    fn prompts_advance_in_chunks_beside_generating_sequences() {
        let mut scheduler = Scheduler::new(LIMITS);
        scheduler.submit(job(1, 3, 10)).unwrap();
        scheduler.submit(job(2, 10, 20)).unwrap();
        assert_eq!(scheduler.admit(), [1, 2]);
        let mut next = || {
            let plan = scheduler.plan();
            scheduler.advance(&plan);
            plan
        };
        assert_eq!(next(), [chunk(1, 3, true), chunk(2, 5, false)]);
        assert_eq!(next(), [chunk(1, 1, true), chunk(2, 5, true)]);
        assert_eq!(next(), [chunk(1, 1, true), chunk(2, 1, true)]);
    }

    #[test]
    fn sequences_wait_for_a_slot_and_for_the_cache() {
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
        // One slot and 20 positions are free.
        assert_eq!(scheduler.admit(), [4]);
        assert_eq!(scheduler.reserved(), 35);
    }

    #[test]
    fn excess_sequences_are_refused() {
        let mut scheduler = Scheduler::new(LIMITS);
        assert_eq!(scheduler.submit(job(1, 1, 41)), Err(AdmissionError::TooLarge));
        for id in 0..2 {
            scheduler.submit(job(id, 1, 20)).unwrap();
            scheduler.admit();
        }
        assert_eq!(
            (scheduler.submit(job(2, 1, 5)), scheduler.submit(job(3, 1, 5))),
            (Ok(()), Ok(()))
        );
        assert_eq!(scheduler.submit(job(4, 1, 5)), Err(AdmissionError::QueueFull));
        scheduler.remove(2);
        assert_eq!(scheduler.submit(job(4, 1, 5)), Ok(()));
    }

    #[test]
    fn a_known_prefix_is_skipped_but_never_a_whole_prompt() {
        let mut scheduler = Scheduler::new(LIMITS);
        scheduler.submit(job(1, 6, 10)).unwrap();
        scheduler.admit();
        scheduler.skip(1, 4);
        assert_eq!(scheduler.plan(), [chunk(1, 2, true)]);
        scheduler.skip(1, 6);
        assert_eq!(scheduler.plan(), [chunk(1, 1, true)]);
    }

    proptest! {
        /// For any arrivals and cancellations: limits hold, every sequence finishes, and each prompt is computed once.
        #[test]
        fn every_sequence_ends(jobs in prop::collection::vec((1_usize..30, 1_usize..10), 1..20), cancelled in any::<u64>()) {
            let mut scheduler = Scheduler::new(SchedulerLimits { queue: 20, ..LIMITS });
            let mut left = std::collections::BTreeMap::new();
            for (id, (prompt, completion)) in (0_u64..).zip(&jobs) {
                scheduler.submit(job(id, *prompt, prompt + completion)).unwrap();
                left.insert(id, (*prompt, *completion));
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
                prop_assert!(plan.iter().map(|chunk| chunk.tokens).sum::<usize>() <= LIMITS.step_tokens);
                prop_assert!(scheduler.reserved() <= LIMITS.cache);
                scheduler.advance(&plan);
                for chunk in plan {
                    let (prompt, completion) = left.get_mut(&chunk.id).unwrap();
                    if *prompt > 0 {
                        prop_assert!(chunk.tokens <= *prompt);
                        *prompt -= chunk.tokens;
                        prop_assert_eq!(chunk.samples, *prompt == 0);
                    }
                    if chunk.samples {
                        *completion -= 1;
                        if *completion == 0 {
                            scheduler.remove(chunk.id);
                            left.remove(&chunk.id);
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
