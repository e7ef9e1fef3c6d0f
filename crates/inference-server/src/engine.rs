//! The model on a thread of its own: requests in, tokens out.
//!
//! The thread repeats: take requests, let sequences in, run one step for all of them, hand out tokens. Whom nobody listens to
//! any more is forgotten before the next step. What goes into a step is `scheduler`'s decision.

pub(crate) mod mean_pooling;
pub(crate) mod prefix_cache;
pub(crate) mod scheduler;
mod sequence;
pub(crate) mod stop_strings;
mod worker;

use std::sync::Arc;
use std::sync::mpsc;

use model::sampling::{LogProbs, SamplingParams};
use model::{Decoder, Lora, Tokenizer};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use crate::engine::scheduler::{Limits, Refusal};
use crate::grammar::Matcher;
use crate::metrics::Metrics;

/// A model and what can be put beside its weights.
#[derive(Debug)]
pub(crate) struct Adapted {
    pub(crate) decoder: Decoder,
    pub(crate) loras: Vec<Lora>,
}

/// What to generate.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// At least one token.
    pub(crate) prompt: Vec<u32>,
    /// Place among [`Adapted::loras`]; none without it.
    pub(crate) adapter: Option<usize>,
    /// The answer is the prompt as one vector, without any tokens.
    pub(crate) embed: bool,
    pub(crate) settings: SamplingParams,
    pub(crate) seed: u64,
    /// Most tokens of the answer, at least one unless it is a vector.
    pub(crate) most: usize,
    /// Tokens that end the answer are not picked before it has so many.
    pub(crate) least: usize,
    pub(crate) stops: Vec<String>,
    /// Tokens that end the answer.
    pub(crate) end: Vec<u32>,
    /// Special tokens that are written out all the same.
    pub(crate) spelled: Vec<u32>,
    /// How many of the likeliest tokens to name beside each one; none at all when absent.
    pub(crate) log_probs: Option<usize>,
    /// The form that the answer has to have; any without it.
    pub(crate) guide: Option<Matcher>,
}

/// What happens to a request, in order.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A token; its text may come with a later one.
    Token(Token),
    /// The last event.
    End(End),
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) log_probs: Option<LogProbs>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) reason: Reason,
    /// What was held back until now.
    pub(crate) text: String,
    pub(crate) generated: usize,
    /// Tokens of the prompt that were known from an earlier request.
    pub(crate) cached: usize,
    /// The prompt as a vector, if that was asked for.
    pub(crate) vector: Option<Vec<f32>>,
    /// Why the form that was asked for could not be followed to its end.
    pub(crate) problem: Option<String>,
}

/// Why an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// An end token or a stop string.
    Stop,
    /// It has as many tokens as were asked for.
    Length,
    /// The model failed, and the log says why; or [`End::problem`] does.
    Failed,
}

impl Reason {
    /// As OpenAI spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Failed => "error",
        }
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// See [`Refusal`].
    Refused(Refusal),
    /// The thread has ended.
    Gone,
}

struct Command {
    request: Request,
    reply: oneshot::Sender<Result<UnboundedReceiver<Event>, Refusal>>,
}

/// Handle on the thread; it ends when the last handle is gone and all answers are given.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    commands: mpsc::Sender<Command>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the thread.
    pub(crate) fn start(
        model: Adapted,
        tokenizer: Arc<Tokenizer>,
        pool: rayon::ThreadPool,
        limits: Limits,
        metrics: Metrics,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let worker = worker::Worker::new(model, tokenizer, limits, metrics, inbox);
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || pool.install(|| worker.run()))?;
        Ok(Self { commands })
    }

    /// Hands a request over. Dropping the receiver cancels it. The channel holds at most the tokens of one answer.
    pub(crate) async fn submit(&self, request: Request) -> Result<UnboundedReceiver<Event>, Rejected> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command { request, reply })
            .map_err(|_| Rejected::Gone)?;
        answer
            .await
            .map_err(|_| Rejected::Gone)?
            .map_err(Rejected::Refused)
    }
}
