//! The loop of the engine's thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use model::{KvCache, Lora, OutputMode, Segment, Tokenizer};
use rayon::iter::{IntoParallelRefMutIterator as _, ParallelIterator as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::prefix_cache::PrefixCache;
use super::request::{AdaptedModel, CompletionEvent, FinishReason, Request};
use super::scheduler::{AdmissionError, Id, ScheduledChunk, Scheduler, SchedulerLimits, SequenceJob};
use super::sequence::Sequence;
use crate::metrics::Metrics;

/// The prefix cache gets one part in this many of the positions.
const PREFIX_CACHE_FRACTION: usize = 4;

/// A request for the thread, and the channel that accepts or refuses it.
#[derive(Debug)]
pub(super) struct EngineCommand {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Result<UnboundedReceiver<CompletionEvent>, AdmissionError>>,
}

pub(super) struct Worker {
    model: AdaptedModel,
    tokenizer: Arc<Tokenizer>,
    metrics: Metrics,
    inbox: Receiver<EngineCommand>,
    scheduler: Scheduler,
    sequences: BTreeMap<Id, Sequence>,
    prefixes: PrefixCache<CacheKey, KvCache>,
    next_id: Id,
}

impl Worker {
    pub(super) fn new(
        model: AdaptedModel,
        tokenizer: Arc<Tokenizer>,
        limits: SchedulerLimits,
        metrics: Metrics,
        inbox: Receiver<EngineCommand>,
    ) -> Self {
        Self {
            model,
            tokenizer,
            metrics,
            inbox,
            prefixes: PrefixCache::new(limits.cache / PREFIX_CACHE_FRACTION),
            scheduler: Scheduler::new(limits),
            sequences: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// Runs until all handles are dropped and all completions are sent.
    pub(super) fn run(mut self) {
        loop {
            if self.scheduler.is_idle() {
                match self.inbox.recv() {
                    Ok(command) => self.accept(command),
                    Err(_) => return,
                }
            }
            while let Ok(command) = self.inbox.try_recv() {
                self.accept(command);
            }
            self.remove_canceled();
            for id in self.scheduler.admit() {
                self.start(id);
            }
            let chunks = self.scheduler.plan();
            self.step(&chunks);
            self.metrics.load(
                self.scheduler.running(),
                self.scheduler.waiting(),
                self.scheduler.cache_use(),
            );
        }
    }

    fn accept(&mut self, command: EngineCommand) {
        let EngineCommand { request, reply } = command;
        let id = self.next_id;
        self.next_id += 1;
        let job = SequenceJob {
            id,
            prompt: request.prompt.len(),
            capacity: request.prompt.len() + request.max_tokens,
        };
        let accepted = self.scheduler.submit(job).map(|()| {
            let (events, receiver) = unbounded_channel();
            // Memory is only touched once the sequence runs.
            let spec = self.model.decoder.spec();
            let cache = KvCache::new(spec, job.capacity);
            self.sequences
                .insert(id, Sequence::new(request, spec.hidden_size, cache, events));
            receiver
        });
        // If the caller is gone, the event channel is closed too, and the sequence is removed before the next step.
        let _ = reply.send(accepted);
    }

    fn remove_canceled(&mut self) {
        let canceled: Vec<Id> = self
            .sequences
            .iter()
            .filter(|(_, sequence)| sequence.is_canceled())
            .map(|(id, _)| *id)
            .collect();
        for id in canceled {
            self.scheduler.remove(id);
            if let Some(sequence) = self.sequences.remove(&id) {
                self.keep_prefix(sequence);
            }
            self.metrics.canceled();
        }
    }

    /// Starts an admitted sequence from the longest prefix that an earlier one has computed.
    fn start(&mut self, id: Id) {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return;
        };
        self.metrics.queued(sequence.submitted.elapsed());
        if sequence.is_embedding() {
            // An embedding needs the hidden states of all tokens, which are not cached.
            return;
        }
        let key = cache_key(&self.model, sequence);
        if let Some((length, cache)) = self.prefixes.find(&key, &sequence.tokens) {
            sequence.cache.copy_prefix(cache, length);
            sequence.cached = sequence.cache.len();
            self.scheduler.skip(id, sequence.cached);
        }
    }

    fn step(&mut self, chunks: &[ScheduledChunk]) {
        let mut by_id: HashMap<Id, &mut Sequence> =
            self.sequences.iter_mut().map(|(id, s)| (*id, s)).collect();
        let mut scheduled: Vec<Scheduled<'_>> = chunks
            .iter()
            .filter_map(|chunk| Some((*chunk, by_id.remove(&chunk.id)?)))
            .collect();
        if scheduled.is_empty() {
            return;
        }
        let began = Instant::now();
        let tokens: Vec<Vec<u32>> = scheduled
            .iter()
            .map(|(chunk, sequence)| sequence.next(chunk.tokens).to_vec())
            .collect();
        let outcome = forward(&self.model, &mut scheduled, &tokens);
        self.metrics
            .step(began.elapsed(), tokens.iter().map(Vec::len).sum());
        let mut finished = Vec::new();
        match outcome {
            Ok(outputs) => {
                prepare_masks(&mut scheduled);
                for ((chunk, sequence), output) in scheduled.iter_mut().zip(outputs) {
                    let reason = if sequence.is_embedding() {
                        sequence.pool(&output);
                        chunk.samples.then_some(FinishReason::Stop)
                    } else if chunk.samples {
                        sample(sequence, &self.tokenizer, output, &self.metrics)
                    } else {
                        None
                    };
                    finished.extend(reason.map(|reason| (chunk.id, reason)));
                }
                self.scheduler.advance(chunks);
            }
            Err(error) => {
                tracing::error!(%error, sequences = scheduled.len(), "failed to compute a step");
                let ids = scheduled.iter().map(|(chunk, _)| chunk.id);
                finished.extend(ids.map(|id| (id, FinishReason::Failed)));
            }
        }
        for (id, reason) in finished {
            self.finish(id, reason);
        }
    }

    fn finish(&mut self, id: Id, reason: FinishReason) {
        self.scheduler.remove(id);
        if let Some(mut sequence) = self.sequences.remove(&id) {
            sequence.finish(&self.tokenizer, reason);
            let prompt = sequence.tokens.len() - sequence.generated();
            self.metrics.finished(
                reason.as_str(),
                prompt,
                sequence.generated(),
                sequence.submitted.elapsed(),
            );
            self.keep_prefix(sequence);
        }
    }

    fn keep_prefix(&mut self, mut sequence: Sequence) {
        if sequence.is_embedding() {
            return;
        }
        sequence.tokens.truncate(sequence.cache.len());
        let key = cache_key(&self.model, &sequence);
        self.prefixes.insert(key, sequence.tokens, sequence.cache);
    }
}

/// A sequence with its chunk of the step.
type Scheduled<'a> = (ScheduledChunk, &'a mut Sequence);

/// Properties that two sequences must share before one can use what the other computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CacheKey {
    adapter: Option<usize>,
    /// Models with two rope tables choose one by the length of the sequence.
    long_rope: bool,
}

fn cache_key(model: &AdaptedModel, sequence: &Sequence) -> CacheKey {
    CacheKey {
        adapter: sequence.adapter(),
        long_rope: model.decoder.spec().uses_long_rope(sequence.cache.capacity()),
    }
}

/// Runs the model. Returns logits or hidden states of each sequence.
fn forward(
    model: &AdaptedModel,
    scheduled: &mut [Scheduled<'_>],
    tokens: &[Vec<u32>],
) -> model::Result<Vec<Vec<f32>>> {
    let adapters: Vec<Option<&Lora>> = scheduled
        .iter()
        .map(|(_, sequence)| sequence.adapter().and_then(|index| model.loras.get(index)))
        .collect();
    let mut segments: Vec<Segment<'_>> = scheduled
        .iter_mut()
        .zip(tokens)
        .map(|((chunk, sequence), tokens)| Segment {
            tokens,
            output: match (sequence.is_embedding(), chunk.samples) {
                (true, _) => OutputMode::HiddenStates,
                (false, true) => OutputMode::LastLogits,
                (false, false) => OutputMode::None,
            },
            cache: &mut sequence.cache,
        })
        .collect();
    model.decoder.forward_with_adapters(&mut segments, &adapters)
}

/// Computes the masks of all grammars in parallel, so that a slow one delays the others less.
fn prepare_masks(scheduled: &mut [Scheduled<'_>]) {
    let is_constrained = |(chunk, sequence): &&mut Scheduled<'_>| chunk.samples && sequence.is_constrained();
    if scheduled.iter_mut().filter(is_constrained).count() > 1 {
        let all = scheduled.par_iter_mut().filter(is_constrained);
        all.for_each(|(_, sequence)| sequence.prepare_mask());
    }
}

/// Samples a token and records its latency.
fn sample(
    sequence: &mut Sequence,
    tokenizer: &Tokenizer,
    logits: Vec<f32>,
    metrics: &Metrics,
) -> Option<FinishReason> {
    let before = sequence.last_token;
    let reason = sequence.sample(tokenizer, logits).unwrap_or_else(|error| {
        tracing::error!(%error, "failed to decode token");
        Some(FinishReason::Failed)
    });
    match before {
        None => metrics.first_token(sequence.submitted.elapsed()),
        Some(before) => metrics.next_token(before.elapsed()),
    }
    reason
}
