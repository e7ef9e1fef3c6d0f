//! The bodies of `POST /tokenize` and `POST /detokenize`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::message::Message;
use super::prompt::TokenIds;
use super::tools::ToolChoice;

/// The body of `POST /tokenize`: a prompt or messages.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct TokenizeRequest {
    /// The model or an adapter. Default: the model.
    pub(crate) model: Option<String>,
    pub(crate) prompt: Option<String>,
    /// Used without `prompt`. The parameters for messages are those of a chat completion.
    pub(crate) messages: Option<Vec<Message>>,
    pub(crate) tools: Option<Vec<Value>>,
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) add_generation_prompt: Option<bool>,
    pub(crate) chat_template_kwargs: Option<Map<String, Value>>,
    /// Default: true for a prompt. Refused for messages unless `false`: the chat template writes them.
    pub(crate) add_special_tokens: Option<bool>,
    /// List the texts of the tokens too.
    pub(crate) return_token_strs: Option<bool>,
}

/// The body of `POST /detokenize`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct DetokenizeRequest {
    /// The model or an adapter. Default: the model.
    pub(crate) model: Option<String>,
    pub(crate) tokens: TokenIds,
}
