//! One answer in the making: from logits to events.

use std::time::Instant;

use model::sampling::{Sampler, log_probs};
use model::{DecodeStream, KvCache, Tokenizer};
use tokio::sync::mpsc::UnboundedSender;

use super::{End, Event, Reason, Request, Token};
use crate::engine::mean_pooling::Mean;
use crate::engine::stop_strings::Stops;
use crate::grammar::Stuck;

#[derive(Debug)]
pub(super) struct Sequence {
    request: Request,
    /// Prompt and answer.
    pub(super) tokens: Vec<u32>,
    pub(super) cache: KvCache,
    pool: Option<Mean>,
    sampler: Sampler,
    /// See [`End::problem`].
    problem: Option<String>,
    text: DecodeStream,
    stops: Stops,
    events: UnboundedSender<Event>,
    pub(super) cached: usize,
    pub(super) submitted: Instant,
    pub(super) last_token: Option<Instant>,
}

impl Sequence {
    /// `width` is that of the model's hidden states.
    pub(super) fn new(
        request: Request,
        width: usize,
        cache: KvCache,
        events: UnboundedSender<Event>,
    ) -> Self {
        Self {
            pool: request.embed.then(|| Mean::new(width)),
            tokens: request.prompt.clone(),
            cache,
            sampler: Sampler::new(request.settings.clone(), request.seed, &request.prompt),
            problem: None,
            text: DecodeStream::default(),
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

    /// Whether it becomes a vector.
    pub(super) fn embeds(&self) -> bool {
        self.pool.is_some()
    }

    /// Takes in the hidden states of the next tokens.
    pub(super) fn pool(&mut self, states: &[f32]) {
        if let Some(pool) = &mut self.pool {
            pool.add(states);
        }
    }

    /// Whether its tokens have to follow a form.
    pub(super) fn is_guided(&self) -> bool {
        self.request.guide.is_some()
    }

    /// Finds out which tokens the form permits next, so that [`Self::pick`] takes no time for it.
    pub(super) fn prepare(&mut self) {
        if let Some(guide) = &mut self.request.guide {
            // What goes wrong does so again, and is told, when a token is picked.
            let _ = guide.prepare();
        }
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

    /// The next token, and whether it completes the form that was asked for.
    fn choose(&mut self, logits: &mut [f32]) -> Result<(u32, bool), Stuck> {
        let forbidden: &[u32] = if self.generated() < self.request.least {
            &self.request.end
        } else {
            &[]
        };
        let Some(guide) = &mut self.request.guide else {
            return Ok((self.sampler.sample(logits, forbidden), false));
        };
        guide.restrict(logits, forbidden)?;
        let token = self.sampler.sample(logits, &[]);
        Ok((token, guide.take(token)?))
    }

    /// Picks the next token; returns why the answer is over, if it is.
    pub(super) fn pick(
        &mut self,
        tokenizer: &Tokenizer,
        mut logits: Vec<f32>,
    ) -> model::Result<Option<Reason>> {
        let original = self.request.log_probs.map(|_| logits.clone());
        let (token, complete) = match self.choose(&mut logits) {
            Ok(chosen) => chosen,
            Err(stuck) => {
                self.problem = Some(stuck.to_string());
                return Ok(Some(Reason::Failed));
            }
        };
        self.tokens.push(token);
        self.last_token = Some(Instant::now());
        if self.request.end.contains(&token) {
            return Ok(Some(Reason::Stop));
        }
        let piece = self.piece(tokenizer, token)?;
        let shown = self.stops.push(&piece);
        let log_probs = original.map(|logits| log_probs(&logits, token, self.request.log_probs.unwrap_or(0)));
        self.send(Event::Token(Token {
            id: token,
            text: shown.text,
            log_probs,
        }));
        if shown.stopped || complete {
            return Ok(Some(Reason::Stop));
        }
        Ok((self.generated() >= self.request.most).then_some(Reason::Length))
    }

    /// The text of a token, as far as it is certain.
    fn piece(&mut self, tokenizer: &Tokenizer, token: u32) -> model::Result<String> {
        if !self.request.spelled.contains(&token) {
            return self.text.push(tokenizer, token);
        }
        let held = self.text.finish(tokenizer)?;
        self.text = DecodeStream::default();
        Ok(held + &tokenizer.id_to_token(token).unwrap_or_default())
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
            vector: self.pool.as_ref().map(Mean::vector),
            problem: self.problem.clone(),
        }));
    }

    /// A closed channel is noticed before the next step.
    fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }
}
