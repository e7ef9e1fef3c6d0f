//! One completion while it is generated: from logits to events.

use std::time::{Duration, Instant};

use model::sampling::{LogProbs, Sampler, log_probs};
use model::{DecodeStream, KvCache, Tokenizer};
use tokio::sync::mpsc::UnboundedSender;

use super::mean_pooling::MeanPooling;
use super::request::{CacheScope, CompletionEvent, Finish, FinishReason, Request, Token};
use super::stop_strings::StopStrings;
use crate::grammar::ConstraintError;
use crate::progress::InFlight;

#[derive(Debug)]
pub(super) struct Sequence {
    request: Request,
    /// Tokens of the prompt and of the completion.
    pub(super) tokens: Vec<u32>,
    pub(super) cache: KvCache,
    pooling: Option<MeanPooling>,
    sampler: Sampler,
    /// See [`Finish::constraint_error`].
    constraint_error: Option<String>,
    text: DecodeStream,
    stop: StopStrings,
    events: UnboundedSender<CompletionEvent>,
    /// See [`Finish::cached`].
    pub(super) cached: usize,
    pub(super) submitted: Instant,
    first_token: Option<Instant>,
    pub(super) last_token: Option<Instant>,
    /// Log probabilities of the prompt's tokens after the first, as far as they are computed.
    prompt_log_probs: Vec<LogProbs>,
    /// Counts the request as long as the sequence exists.
    _in_flight: InFlight,
}

impl Sequence {
    /// Creates the sequence. `hidden_size` is the length of the model's hidden states.
    pub(super) fn new(
        request: Request,
        hidden_size: usize,
        cache: KvCache,
        (events, in_flight): (UnboundedSender<CompletionEvent>, InFlight),
    ) -> Self {
        Self {
            pooling: request.embedding.then(|| MeanPooling::new(hidden_size)),
            tokens: request.prompt.clone(),
            cache,
            sampler: Sampler::new(request.sampling.clone(), request.seed, &request.prompt),
            constraint_error: None,
            text: DecodeStream::default(),
            stop: StopStrings::new(request.stop.clone()),
            events,
            cached: 0,
            submitted: Instant::now(),
            first_token: None,
            last_token: None,
            prompt_log_probs: Vec::new(),
            _in_flight: in_flight,
            request,
        }
    }

    /// See [`Request::adapter`].
    pub(super) fn adapter(&self) -> Option<usize> {
        self.request.adapter
    }

    /// See [`Request::scope`].
    pub(super) fn scope(&self) -> CacheScope {
        self.request.scope
    }

    /// Returns the positions that the sequence needs at most.
    pub(super) fn capacity(&self) -> usize {
        self.request.prompt.len() + self.request.max_tokens
    }

    /// Returns true if the sequence no longer waits.
    pub(super) fn has_begun(&self) -> bool {
        self.cache.capacity() > 0
    }

    /// Returns true if a cached prefix is of no use: hidden states and logits of a prompt are not cached.
    pub(super) fn needs_whole_prompt(&self) -> bool {
        self.is_embedding() || self.request.prompt_log_probs.is_some()
    }

    /// Returns true if the next tokens to compute are tokens of a prompt whose log probabilities are wanted.
    pub(super) fn scores_prompt(&self) -> bool {
        self.request.prompt_log_probs.is_some() && self.cache.len() < self.request.prompt.len()
    }

    /// Returns true if the request is for a completion, not for its prompt alone.
    pub(super) fn generates(&self) -> bool {
        self.request.max_tokens > 0
    }

    /// Records log probabilities of the prompt's tokens after each of the `count` tokens that were just computed, and returns the
    /// logits after the last one. Sends the log probabilities once they are complete.
    pub(super) fn score_prompt(&mut self, count: usize, logits: Vec<f32>) -> Vec<f32> {
        let Some(top) = self.request.prompt_log_probs else {
            return logits;
        };
        if self.cache.len().saturating_sub(count) >= self.request.prompt.len() {
            return logits;
        }
        let first = self.prompt_log_probs.len();
        let vocab_size = logits.len() / count.max(1);
        let rows = logits.chunks_exact(vocab_size.max(1));
        let next = self.request.prompt.iter().skip(first + 1);
        let scored = rows
            .clone()
            .zip(next)
            .map(|(row, token)| log_probs(row, *token, top));
        self.prompt_log_probs.extend(scored);
        if self.cache.len() >= self.request.prompt.len() {
            self.send(CompletionEvent::Prompt(self.prompt_log_probs.clone()));
        }
        rows.last().unwrap_or_default().to_vec()
    }

    /// See [`Request::embedding`].
    pub(super) fn is_embedding(&self) -> bool {
        self.pooling.is_some()
    }

    /// Adds the hidden states of the next tokens to the embedding.
    pub(super) fn pool(&mut self, states: &[f32]) {
        if let Some(pooling) = &mut self.pooling {
            pooling.add(states);
        }
    }

    /// Returns true if a grammar constrains the tokens.
    pub(super) fn is_constrained(&self) -> bool {
        self.request.grammar.is_some()
    }

    /// Computes which tokens the grammar allows next, so that [`Self::sample`] does not have to.
    pub(super) fn prepare_mask(&mut self) {
        if let Some(grammar) = &mut self.request.grammar {
            // An error comes back when the token is sampled, and is reported then.
            let _ = grammar.prepare_mask();
        }
    }

    /// Returns true if the caller has dropped the receiver.
    pub(super) fn is_canceled(&self) -> bool {
        self.events.is_closed()
    }

    pub(super) fn generated(&self) -> usize {
        self.tokens.len() - self.request.prompt.len()
    }

    /// Returns the mean time between tokens, if there are two.
    pub(super) fn time_per_token(&self) -> Option<Duration> {
        let time = self.last_token?.duration_since(self.first_token?);
        let gaps = u32::try_from(self.generated().checked_sub(1)?).ok()?;
        time.checked_div(gaps)
    }

    /// Returns the next tokens to compute, at most `count`.
    pub(super) fn next(&self, count: usize) -> &[u32] {
        let from = self.cache.len();
        &self.tokens[from..(from + count).min(self.tokens.len())]
    }

    /// Returns the next token, and true if it completes the grammar.
    fn sample_token(&mut self, logits: &mut [f32]) -> Result<(u32, bool), ConstraintError> {
        let forbidden: &[u32] = if self.generated() < self.request.min_tokens {
            &self.request.end_tokens
        } else {
            &[]
        };
        let Some(grammar) = &mut self.request.grammar else {
            return Ok((self.sampler.sample(logits, forbidden), false));
        };
        grammar.mask(logits, forbidden)?;
        let token = self.sampler.sample(logits, &[]);
        Ok((token, grammar.accept(token)?))
    }

    /// Samples the next token. Returns the reason if the completion ends with it.
    pub(super) fn sample(
        &mut self,
        tokenizer: &Tokenizer,
        mut logits: Vec<f32>,
    ) -> model::Result<Option<FinishReason>> {
        let original = self.request.log_probs.map(|_| logits.clone());
        let (token, complete) = match self.sample_token(&mut logits) {
            Ok(sampled) => sampled,
            Err(error) => {
                self.constraint_error = Some(error.to_string());
                return Ok(Some(FinishReason::Failed));
            }
        };
        self.tokens.push(token);
        self.last_token = Some(Instant::now());
        self.first_token = self.first_token.or(self.last_token);
        if self.request.end_tokens.contains(&token) {
            return Ok(Some(FinishReason::Stop));
        }
        let piece = self.piece(tokenizer, token)?;
        let released = self.stop.push(&piece);
        let log_probs = original.map(|logits| log_probs(&logits, token, self.request.log_probs.unwrap_or(0)));
        self.send(CompletionEvent::Token(Token {
            id: token,
            text: released.text,
            log_probs,
        }));
        if released.stopped || complete {
            return Ok(Some(FinishReason::Stop));
        }
        Ok((self.generated() >= self.request.max_tokens).then_some(FinishReason::Length))
    }

    /// Returns the text that is certain after a token.
    fn piece(&mut self, tokenizer: &Tokenizer, token: u32) -> model::Result<String> {
        if !self.request.visible_special_tokens.contains(&token) {
            return self.text.push(tokenizer, token);
        }
        let held = self.text.finish(tokenizer)?;
        self.text = DecodeStream::default();
        Ok(held + &tokenizer.id_to_token(token).unwrap_or_default())
    }

    /// Sends the last event.
    pub(super) fn finish(&mut self, tokenizer: &Tokenizer, reason: FinishReason) {
        let held = self.text.finish(tokenizer).unwrap_or_default();
        let released = self.stop.push(&held);
        let text = if released.stopped {
            released.text
        } else {
            released.text + &self.stop.finish()
        };
        self.send(CompletionEvent::Finish(Finish {
            reason,
            text,
            generated: self.generated(),
            cached: self.cached,
            embedding: self.pooling.as_ref().map(MeanPooling::embedding),
            constraint_error: self.constraint_error.clone(),
        }));
    }

    /// The worker notices a closed channel before the next step, so a failed send needs no action here.
    fn send(&self, event: CompletionEvent) {
        let _ = self.events.send(event);
    }
}
