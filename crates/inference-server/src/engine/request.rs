//! Requests to the engine and the events that it sends for them.

use model::sampling::{LogProbs, SamplingParams};
use model::{Decoder, Lora};

use crate::grammar::Matcher;

/// A model with the adapters that requests may choose.
#[derive(Debug)]
pub(crate) struct AdaptedModel {
    pub(crate) decoder: Decoder,
    pub(crate) loras: Vec<Lora>,
}

/// The clients that may share cached prefixes: those with the same API key. Time and usage would tell others what was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheScope(pub(crate) u64);

/// One completion, or one embedding, to compute.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Tokens of the prompt; at least one.
    pub(crate) prompt: Vec<u32>,
    /// Index into [`AdaptedModel::loras`]; `None` uses no adapter.
    pub(crate) adapter: Option<usize>,
    /// Only requests with the same scope share cached prefixes.
    pub(crate) scope: CacheScope,
    /// Compute the embedding of the prompt and generate nothing.
    pub(crate) embedding: bool,
    pub(crate) sampling: SamplingParams,
    pub(crate) seed: u64,
    /// Upper bound of generated tokens; 0 for an embedding, or for the log probabilities of the prompt alone.
    pub(crate) max_tokens: usize,
    /// Generated tokens before which no end token is sampled.
    pub(crate) min_tokens: usize,
    pub(crate) stop: Vec<String>,
    /// Tokens that end the completion.
    pub(crate) end_tokens: Vec<u32>,
    /// Special tokens that appear in the text all the same.
    pub(crate) visible_special_tokens: Vec<u32>,
    /// Number of most likely tokens to report beside each token; `None` reports no log probabilities.
    pub(crate) log_probs: Option<usize>,
    /// The same for the tokens of the prompt.
    pub(crate) prompt_log_probs: Option<usize>,
    /// Grammar that constrains the completion.
    pub(crate) grammar: Option<Matcher>,
}

/// Events of one request, in order.
#[derive(Clone, Debug)]
pub(crate) enum CompletionEvent {
    /// Log probabilities of the prompt's tokens after the first, if they were requested.
    Prompt(Vec<LogProbs>),
    /// A token. Its text may come with a later one.
    Token(Token),
    /// The last event.
    Finish(Finish),
}

/// A generated token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) log_probs: Option<LogProbs>,
}

/// The end of a completion.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finish {
    pub(crate) reason: FinishReason,
    /// Text that was held back until now.
    pub(crate) text: String,
    /// Number of generated tokens.
    pub(crate) generated: usize,
    /// Number of prompt tokens that an earlier request had computed.
    pub(crate) cached: usize,
    /// The embedding, if one was requested.
    pub(crate) embedding: Option<Vec<f32>>,
    /// Message of the [`ConstraintError`](crate::grammar::ConstraintError) that ended the completion.
    pub(crate) constraint_error: Option<String>,
}

/// Reason for the end of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// An end token, a stop string, or the end of the grammar.
    Stop,
    /// `max_tokens` were generated.
    Length,
    /// The model failed, which is logged, or the grammar did: see [`Finish::constraint_error`].
    Failed,
}

impl FinishReason {
    pub(crate) const ALL: [Self; 3] = [Self::Stop, Self::Length, Self::Failed];

    /// Returns the word of the metrics. OpenAI's API has words for the first two only: a failed completion is an error there.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Failed => "error",
        }
    }
}
