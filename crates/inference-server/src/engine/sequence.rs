//! One completion while it is generated: from logits to events.

use std::time::Instant;

use model::sampling::{Sampler, log_probs};
use model::{DecodeStream, KvCache, Tokenizer};
use tokio::sync::mpsc::UnboundedSender;

use super::mean_pooling::MeanPooling;
use super::request::{CompletionEvent, Finish, FinishReason, Request, Token};
use super::stop_strings::StopStrings;
use crate::grammar::ConstraintError;

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
    pub(super) last_token: Option<Instant>,
}

impl Sequence {
    /// Creates the sequence. `hidden_size` is the length of the model's hidden states.
    pub(super) fn new(
        request: Request,
        hidden_size: usize,
        cache: KvCache,
        events: UnboundedSender<CompletionEvent>,
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
            last_token: None,
            request,
        }
    }

    /// See [`Request::adapter`].
    pub(super) fn adapter(&self) -> Option<usize> {
        self.request.adapter
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
