//! One answer in the making: from logits to events.

use std::time::Instant;

use model::sampling::{Sampler, log_probs};
use model::{Cache, TextStream, Tokenizer};
use tokio::sync::mpsc::UnboundedSender;

use super::{End, Event, Reason, Request, Token};
use crate::stop::Stops;

#[derive(Debug)]
pub(super) struct Sequence {
    request: Request,
    /// Prompt and answer.
    pub(super) tokens: Vec<u32>,
    pub(super) cache: Cache,
    sampler: Sampler,
    text: TextStream,
    stops: Stops,
    events: UnboundedSender<Event>,
    pub(super) cached: usize,
    pub(super) submitted: Instant,
    pub(super) last_token: Option<Instant>,
}

impl Sequence {
    pub(super) fn new(request: Request, cache: Cache, events: UnboundedSender<Event>) -> Self {
        Self {
            tokens: request.prompt.clone(),
            cache,
            sampler: Sampler::new(request.settings.clone(), request.seed, &request.prompt),
            text: TextStream::default(),
            stops: Stops::new(request.stops.clone()),
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

    /// Nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    pub(super) fn generated(&self) -> usize {
        self.tokens.len() - self.request.prompt.len()
    }

    /// The tokens to compute next.
    pub(super) fn next(&self, count: usize) -> &[u32] {
        let from = self.cache.len();
        &self.tokens[from..(from + count).min(self.tokens.len())]
    }

    /// Picks the next token; returns why the answer is over, if it is.
    pub(super) fn pick(
        &mut self,
        tokenizer: &Tokenizer,
        mut logits: Vec<f32>,
    ) -> model::Result<Option<Reason>> {
        let original = self.request.log_probs.map(|_| logits.clone());
        let forbidden: &[u32] = if self.generated() < self.request.least {
            &self.request.end
        } else {
            &[]
        };
        let token = self.sampler.pick(&mut logits, forbidden);
        self.tokens.push(token);
        self.last_token = Some(Instant::now());
        if self.request.end.contains(&token) {
            return Ok(Some(Reason::Stop));
        }
        let piece = self.text.push(tokenizer, token)?;
        let shown = self.stops.push(&piece);
        let log_probs = original.map(|logits| log_probs(&logits, token, self.request.log_probs.unwrap_or(0)));
        self.send(Event::Token(Token {
            id: token,
            text: shown.text,
            log_probs,
        }));
        if shown.stopped {
            return Ok(Some(Reason::Stop));
        }
        Ok((self.generated() >= self.request.most).then_some(Reason::Length))
    }

    /// Sends the last event.
    pub(super) fn end(&mut self, tokenizer: &Tokenizer, reason: Reason) {
        let held = self.text.finish(tokenizer).unwrap_or_default();
        let shown = self.stops.push(&held);
        let text = if shown.stopped {
            shown.text
        } else {
            shown.text + &self.stops.finish()
        };
        self.send(Event::End(End {
            reason,
            text,
            generated: self.generated(),
            cached: self.cached,
        }));
    }

    /// A closed channel is noticed before the next step.
    fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }
}
