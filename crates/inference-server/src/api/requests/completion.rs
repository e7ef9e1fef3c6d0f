//! The body of `POST /v1/completions`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::chat_completion::StreamOptions;
use super::prompt::{PromptList, StringList, StringOrList, TokenIds};
use super::structured_output::{ResponseFormat, StructuredOutputs};

/// The body of `POST /v1/completions`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct CompletionRequest {
    /// The model or an adapter. Default: the model.
    pub(crate) model: Option<String>,

    // Prompt.
    pub(crate) prompt: PromptList,
    /// Repeat the prompt before the completion.
    pub(crate) echo: Option<bool>,
    /// Refused unless empty.
    pub(crate) suffix: Option<Value>,

    // Length. The defaults of all parameters below are in `validate::sampling`.
    /// Wins over `max_tokens`.
    pub(crate) max_completion_tokens: Option<i64>,
    pub(crate) max_tokens: Option<i64>,
    pub(crate) min_tokens: Option<i64>,
    pub(crate) stop: Option<StringOrList>,
    pub(crate) stop_token_ids: Option<TokenIds>,
    pub(crate) ignore_eos: Option<bool>,

    // Sampling.
    pub(crate) n: Option<i64>,
    /// Refused unless equal to `n`.
    pub(crate) best_of: Option<Value>,
    pub(crate) seed: Option<i64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<i64>,
    pub(crate) min_p: Option<f64>,
    pub(crate) repetition_penalty: Option<f64>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    /// Bias by token id.
    pub(crate) logit_bias: Option<BTreeMap<String, f64>>,

    // Structured output. At most one of them may be set.
    pub(crate) response_format: Option<ResponseFormat>,
    pub(crate) structured_outputs: Option<StructuredOutputs>,
    pub(crate) guided_json: Option<Value>,
    pub(crate) guided_regex: Option<String>,
    pub(crate) guided_choice: Option<StringList>,
    pub(crate) guided_grammar: Option<String>,
    pub(crate) guided_whitespace_pattern: Option<String>,

    // Response.
    /// Number of alternatives beside each token. Default: no log probabilities.
    pub(crate) logprobs: Option<i64>,
    pub(crate) stream: Option<bool>,
    pub(crate) stream_options: Option<StreamOptions>,

    // Refused unless they have no effect; see `validate::unsupported`.
    pub(crate) use_beam_search: Option<Value>,
    pub(crate) length_penalty: Option<Value>,
    pub(crate) no_repeat_ngram_size: Option<Value>,
    pub(crate) bad_words: Option<Value>,
    pub(crate) allowed_token_ids: Option<Value>,
    pub(crate) logits_processors: Option<Value>,
    pub(crate) prompt_logprobs: Option<Value>,
    pub(crate) truncate_prompt_tokens: Option<Value>,
    pub(crate) include_stop_str_in_output: Option<Value>,
    pub(crate) skip_special_tokens: Option<Value>,
}
