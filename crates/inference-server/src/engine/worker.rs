//! The loop of the engine's thread.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use model::{KvCache, Lora, OutputMode, Segment, Tokenizer};
use rayon::iter::{IntoParallelRefMutIterator as _, ParallelIterator as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::prefix_cache::PrefixCache;
use super::request::{AdaptedModel, CacheScope, CompletionEvent, FinishReason, Request};
use super::scheduler::{AdmissionError, Id, ScheduledChunk, Scheduler, SchedulerLimits, SequenceJob};
use super::sequence::Sequence;
use crate::metrics::Metrics;
use crate::progress::{EngineProgress, InFlight};

/// The prefix cache gets one part in this many of the positions.
const PREFIX_CACHE_FRACTION: usize = 4;

/// A request for the thread, and the channel that accepts or refuses it.
#[derive(Debug)]
pub(super) struct EngineCommand {
    pub(super) request: Request,
    pub(super) in_flight: InFlight,
    pub(super) reply: oneshot::Sender<Result<UnboundedReceiver<CompletionEvent>, AdmissionError>>,
}

pub(super) struct Worker {
    model: AdaptedModel,
    tokenizer: Arc<Tokenizer>,
    metrics: Metrics,
    progress: EngineProgress,
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
        (metrics, progress): (Metrics, EngineProgress),
        inbox: Receiver<EngineCommand>,
    ) -> Self {
        Self {
            model,
            tokenizer,
            metrics,
            progress,
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
            self.report_load();
        }
    }

    fn report_load(&self) {
        let used: usize = self.sequences.values().map(|sequence| sequence.cache.len()).sum();
        let cache_use = used as f64 / self.scheduler.cache().max(1) as f64;
        self.metrics
            .load(self.scheduler.running(), self.scheduler.waiting(), cache_use);
        if self.model.loras.is_empty() {
            return;
        }
        let names = |runs: bool| -> BTreeSet<&str> {
            let with_state = self
                .sequences
                .values()
                .filter(|sequence| sequence.has_begun() == runs);
            let adapters = with_state.filter_map(Sequence::adapter);
            adapters
                .filter_map(|index| self.model.loras.get(index))
                .map(Lora::name)
                .collect()
        };
        self.metrics
            .adapters(self.model.loras.len(), &names(true), &names(false));
    }

    fn accept(&mut self, command: EngineCommand) {
        let EngineCommand {
            request,
            reply,
            in_flight,
        } = command;
        let id = self.next_id;
        self.next_id += 1;
        let job = SequenceJob {
            id,
            prompt: request.prompt.len(),
            capacity: request.prompt.len() + request.max_tokens,
        };
        let accepted = self.scheduler.submit(job).map(|()| {
            let (events, receiver) = unbounded_channel();
            let decoder = &self.model.decoder;
            // A sequence that waits has no memory for keys and values yet.
            let cache = decoder.cache(0);
            self.sequences.insert(
                id,
                Sequence::new(request, decoder.spec().hidden_size, cache, (events, in_flight)),
            );
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
        sequence.cache = self.model.decoder.cache(sequence.capacity());
        if sequence.needs_whole_prompt() {
            return;
        }
        self.metrics.prefix_queried(sequence.tokens.len());
        let key = cache_key(&self.model, sequence);
        if let Some((length, cache)) = self.prefixes.find(&key, &sequence.tokens) {
            sequence.cache.copy_prefix(cache, length);
            sequence.cached = sequence.cache.len();
            self.metrics.prefix_hit(sequence.cached);
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
        let outcomes = compute(&self.model, &mut scheduled, &tokens);
        self.metrics
            .step(began.elapsed(), tokens.iter().map(Vec::len).sum());
        let mut finished = Vec::new();
        prepare_masks(&mut scheduled);
        for ((chunk, sequence), outcome) in scheduled.iter_mut().zip(outcomes) {
            let reason = match outcome {
                Ok(output) => apply(chunk, sequence, output, &self.tokenizer, &self.metrics),
                Err(error) => {
                    tracing::error!(%error, "failed to compute a sequence");
                    Some(FinishReason::Failed)
                }
            };
            finished.extend(reason.map(|reason| (chunk.id, reason)));
        }
        self.scheduler.advance(chunks);
        self.progress.made();
        for (id, reason) in finished {
            self.finish(id, reason);
        }
    }

    fn finish(&mut self, id: Id, reason: FinishReason) {
        self.scheduler.remove(id);
        if let Some(mut sequence) = self.sequences.remove(&id) {
            let prompt = sequence.tokens.len() - sequence.generated();
            self.metrics.finished(
                reason.as_str(),
                prompt,
                sequence.generated(),
                sequence.submitted.elapsed(),
            );
            if let Some(time) = sequence.time_per_token() {
                self.metrics.time_per_token(time);
            }
            // Metrics come first: a client with an answer must find its request in them.
            sequence.finish(&self.tokenizer, reason);
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
    scope: CacheScope,
    /// Models with two rope tables choose one by the length of the sequence.
    long_rope: bool,
}

fn cache_key(model: &AdaptedModel, sequence: &Sequence) -> CacheKey {
    CacheKey {
        adapter: sequence.adapter(),
        scope: sequence.scope(),
        long_rope: model.decoder.spec().uses_long_rope(sequence.cache.capacity()),
    }
}

/// Runs the model for all sequences together, or for each alone if that fails: one bad sequence must not end the others.
///
/// The decoder checks all sequences before it changes one, so a failed step can be repeated.
fn compute(
    model: &AdaptedModel,
    scheduled: &mut [Scheduled<'_>],
    tokens: &[Vec<u32>],
) -> Vec<model::Result<Vec<f32>>> {
    match forward(model, scheduled, tokens) {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        Err(error) if scheduled.len() < 2 => vec![Err(error)],
        Err(_) => {
            let alone = |(one, tokens): (&mut Scheduled<'_>, &Vec<u32>)| {
                let outputs = forward(model, std::slice::from_mut(one), std::slice::from_ref(tokens));
                outputs.map(|mut outputs| outputs.pop().unwrap_or_default())
            };
            scheduled.iter_mut().zip(tokens).map(alone).collect()
        }
    }
}

/// Uses what the model computed for a sequence. Returns the reason if the completion ends.
fn apply(
    chunk: &ScheduledChunk,
    sequence: &mut Sequence,
    output: Vec<f32>,
    tokenizer: &Tokenizer,
    metrics: &Metrics,
) -> Option<FinishReason> {
    if sequence.is_embedding() {
        sequence.pool(&output);
        return chunk.samples.then_some(FinishReason::Stop);
    }
    let logits = sequence.score_prompt(chunk.tokens, output);
    if !chunk.samples {
        return None;
    }
    if !sequence.generates() {
        return Some(FinishReason::Length);
    }
    if logits.iter().any(|logit| logit.is_nan()) {
        tracing::error!("the model computed logits that are not numbers");
        return Some(FinishReason::Failed);
    }
    sample(sequence, tokenizer, logits, metrics)
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
            output: if sequence.is_embedding() {
                OutputMode::HiddenStates
            } else if sequence.scores_prompt() {
                OutputMode::AllLogits
            } else if chunk.samples {
                OutputMode::LastLogits
            } else {
                OutputMode::None
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
