//! The body of `POST /chat`, the first API of KAITO.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::message::Message;
use super::prompt::{StringOrList, TokenIds};
use super::tools::ToolChoice;

/// The body of `POST /chat`. It has a prompt or messages.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct KaitoChatRequest {
    pub(crate) prompt: Option<String>,
    /// Text to put before the prompt.
    pub(crate) prefix: Option<String>,
    /// Complete the bare prompt and repeat it before the completion. Default: true if the model has no chat template.
    pub(crate) return_full_text: Option<bool>,
    /// The parameters for messages are those of a chat completion.
    pub(crate) messages: Option<Vec<Message>>,
    pub(crate) tools: Option<Vec<Value>>,
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) add_generation_prompt: Option<bool>,
    pub(crate) chat_template_kwargs: Option<Map<String, Value>>,
    pub(crate) generate_kwargs: Option<GenerateKwargs>,
    /// Refused.
    pub(crate) handle_long_generation: Option<Value>,
}

/// `generate_kwargs`, with the names of transformers.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct GenerateKwargs {
    /// Maximum of tokens of prompt and completion. Default: 200.
    pub(crate) max_length: Option<i64>,
    /// Maximum of tokens of the completion. Wins over `max_length`.
    pub(crate) max_new_tokens: Option<i64>,
    /// Minimum of tokens of prompt and completion. Default: 0.
    pub(crate) min_length: Option<i64>,
    /// Sample instead of taking the most likely token. Default: true.
    pub(crate) do_sample: Option<bool>,
    /// Default: 1.
    pub(crate) temperature: Option<f64>,
    /// Default: 10.
    pub(crate) top_k: Option<i64>,
    /// Default: 1.
    pub(crate) top_p: Option<f64>,
    /// Default: 1.
    pub(crate) repetition_penalty: Option<f64>,
    /// Default: 1.
    pub(crate) num_return_sequences: Option<i64>,
    pub(crate) seed: Option<i64>,
    pub(crate) stop_strings: Option<StringOrList>,
    /// Default: the model's end tokens.
    pub(crate) eos_token_id: Option<EosTokenId>,
    /// Refused unless 1.
    pub(crate) typical_p: Option<f64>,
    /// Refused unless 1.
    pub(crate) num_beams: Option<Value>,
    /// Refused unless 1.
    pub(crate) num_beam_groups: Option<Value>,
    /// Refused unless `false`.
    pub(crate) early_stopping: Option<Value>,
    /// Refused.
    pub(crate) penalty_alpha: Option<Value>,
    /// Refused unless 0.
    pub(crate) no_repeat_ngram_size: Option<Value>,
    /// Refused.
    pub(crate) bad_words_ids: Option<Value>,
    /// Refused.
    pub(crate) force_words_ids: Option<Value>,
}

impl EosTokenId {
    pub(crate) fn into_list(self) -> Vec<u32> {
        match self {
            Self::One(token) => vec![token],
            Self::Many(tokens) => tokens.0,
        }
    }
}

/// One end token or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a token id or a list of token ids")]
pub(crate) enum EosTokenId {
    One(u32),
    Many(TokenIds),
}
