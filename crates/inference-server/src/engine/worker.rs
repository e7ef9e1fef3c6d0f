//! The loop of the engine's thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use model::{KvCache, Lora, OutputMode, Segment, Tokenizer};
use rayon::iter::{IntoParallelRefMutIterator as _, ParallelIterator as _};
use tokio::sync::mpsc::unbounded_channel;

use super::sequence::Sequence;
use super::{Adapted, Command, Reason};
use crate::engine::prefix_cache::Prefixes;
use crate::engine::scheduler::{Id, Job, Limits, Scheduler, Share};
use crate::metrics::Metrics;

/// One part in so many of the cache is for sequences that are over.
const KEPT_SHARE: usize = 4;

pub(super) struct Worker {
    model: Adapted,
    tokenizer: Arc<Tokenizer>,
    metrics: Metrics,
    inbox: Receiver<Command>,
    scheduler: Scheduler,
    sequences: BTreeMap<Id, Sequence>,
    prefixes: Prefixes<Kind, KvCache>,
    next_id: Id,
}

impl Worker {
    pub(super) fn new(
        model: Adapted,
        tokenizer: Arc<Tokenizer>,
        limits: Limits,
        metrics: Metrics,
        inbox: Receiver<Command>,
    ) -> Self {
        Self {
            model,
            tokenizer,
            metrics,
            inbox,
            prefixes: Prefixes::new(limits.cache / KEPT_SHARE),
            scheduler: Scheduler::new(limits),
            sequences: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// Runs until all handles are gone and all answers are given.
    pub(super) fn run(mut self) {
        loop {
            if self.scheduler.is_idle() {
                match self.inbox.recv() {
                    Ok(command) => self.take(command),
                    Err(_) => return,
                }
            }
            while let Ok(command) = self.inbox.try_recv() {
                self.take(command);
            }
            self.forget_abandoned();
            for id in self.scheduler.admit() {
                self.begin(id);
            }
            let shares = self.scheduler.plan();
            self.step(&shares);
            self.metrics.load(
                self.scheduler.running(),
                self.scheduler.waiting(),
                self.scheduler.cache_use(),
            );
        }
    }

    fn take(&mut self, command: Command) {
        let Command { request, reply } = command;
        let id = self.next_id;
        self.next_id += 1;
        let job = Job {
            id,
            prompt: request.prompt.len(),
            planned: request.prompt.len() + request.most,
        };
        let answer = self.scheduler.submit(job).map(|()| {
            let (events, receiver) = unbounded_channel();
            // Memory is only touched once the sequence runs.
            let spec = self.model.decoder.spec();
            let cache = KvCache::new(spec, job.planned);
            self.sequences
                .insert(id, Sequence::new(request, spec.hidden_size, cache, events));
            receiver
        });
        // A caller that is gone is noticed by its closed channel.
        let _ = reply.send(answer);
    }

    fn forget_abandoned(&mut self) {
        let abandoned: Vec<Id> = self
            .sequences
            .iter()
            .filter(|(_, sequence)| sequence.is_abandoned())
            .map(|(id, _)| *id)
            .collect();
        for id in abandoned {
            self.scheduler.remove(id);
            if let Some(sequence) = self.sequences.remove(&id) {
                self.keep(sequence);
            }
            self.metrics.cancelled();
        }
    }

    /// Takes over what an earlier sequence had computed.
    fn begin(&mut self, id: Id) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        self.metrics.queued(sequence.submitted.elapsed());
        if sequence.embeds() {
            // A vector needs the states of all tokens, which are not kept.
            return;
        }
        let kind = kind(&self.model, sequence);
        if let Some((length, cache)) = self.prefixes.find(&kind, &sequence.tokens) {
            sequence.cache.copy_prefix(cache, length);
            sequence.cached = sequence.cache.len();
            self.scheduler.skip(id, sequence.cached);
        }
    }

    fn step(&mut self, shares: &[Share]) {
        let mut by_id: HashMap<Id, &mut Sequence> =
            self.sequences.iter_mut().map(|(id, s)| (*id, s)).collect();
        let mut chosen: Vec<(Share, &mut Sequence)> = shares
            .iter()
            .filter_map(|share| Some((*share, by_id.remove(&share.id)?)))
            .collect();
        if chosen.is_empty() {
            return;
        }
        let began = Instant::now();
        let tokens: Vec<Vec<u32>> = chosen
            .iter()
            .map(|(share, sequence)| sequence.next(share.tokens).to_vec())
            .collect();
        let loras = &self.model.loras;
        let adapters: Vec<Option<&Lora>> = chosen
            .iter()
            .map(|(_, sequence)| sequence.adapter().and_then(|index| loras.get(index)))
            .collect();
        let mut segments: Vec<Segment<'_>> = chosen
            .iter_mut()
            .zip(&tokens)
            .map(|((share, sequence), tokens)| Segment {
                tokens,
                output: match (sequence.embeds(), share.picks) {
                    (true, _) => OutputMode::HiddenStates,
                    (false, true) => OutputMode::LastLogits,
                    (false, false) => OutputMode::None,
                },
                cache: &mut sequence.cache,
            })
            .collect();
        let outcome = self.model.decoder.forward_with_adapters(&mut segments, &adapters);
        self.metrics
            .step(began.elapsed(), tokens.iter().map(Vec::len).sum());
        let mut ended = Vec::new();
        match outcome {
            Ok(outputs) => {
                prepare(&mut chosen);
                for ((share, sequence), output) in chosen.iter_mut().zip(outputs) {
                    let over = if sequence.embeds() {
                        sequence.pool(&output);
                        share.picks.then_some(Reason::Stop)
                    } else if share.picks {
                        picked(sequence, &self.tokenizer, output, &self.metrics)
                    } else {
                        None
                    };
                    ended.extend(over.map(|why| (share.id, why)));
                }
                self.scheduler.advance(shares);
            }
            Err(error) => {
                tracing::error!(%error, sequences = chosen.len(), "the model refused a step");
                ended.extend(chosen.iter().map(|(share, _)| (share.id, Reason::Failed)));
            }
        }
        for (id, reason) in ended {
            self.end(id, reason);
        }
    }

    fn end(&mut self, id: Id, reason: Reason) {
        self.scheduler.remove(id);
        if let Some(mut sequence) = self.sequences.remove(&id) {
            sequence.end(&self.tokenizer, reason);
            let prompt = sequence.tokens.len() - sequence.generated();
            self.metrics
                .ended(reason, prompt, sequence.generated(), sequence.submitted.elapsed());
            self.keep(sequence);
        }
    }

    fn keep(&mut self, mut sequence: Sequence) {
        if sequence.embeds() {
            return;
        }
        sequence.tokens.truncate(sequence.cache.len());
        let kind = kind(&self.model, &sequence);
        self.prefixes.keep(kind, sequence.tokens, sequence.cache);
    }
}

/// Only sequences of one kind can share what was computed: those with the same adapter and the same angles.
fn kind(model: &Adapted, sequence: &Sequence) -> Kind {
    Kind {
        adapter: sequence.adapter(),
        long_angles: model.decoder.spec().uses_long_rope(sequence.cache.capacity()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    adapter: Option<usize>,
    long_angles: bool,
}

/// Looks in all forms at once for what they permit: a slow one holds up the others less.
fn prepare(chosen: &mut [(Share, &mut Sequence)]) {
    let guided = |(share, sequence): &&mut (Share, &mut Sequence)| share.picks && sequence.is_guided();
    if chosen.iter_mut().filter(guided).count() > 1 {
        let all = chosen.par_iter_mut().filter(guided);
        all.for_each(|(_, sequence)| sequence.prepare());
    }
}

/// Picks a token, with its time.
fn picked(
    sequence: &mut Sequence,
    tokenizer: &Tokenizer,
    logits: Vec<f32>,
    metrics: &Metrics,
) -> Option<Reason> {
    let before = sequence.last_token;
    let reason = sequence.pick(tokenizer, logits).unwrap_or_else(|error| {
        tracing::error!(%error, "a token has no text");
        Some(Reason::Failed)
    });
    match before {
        None => metrics.first_token(sequence.submitted.elapsed()),
        Some(before) => metrics.next_token(before.elapsed()),
    }
    reason
}
