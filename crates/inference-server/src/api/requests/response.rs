//! The body of `POST /v1/responses`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::tools::ToolChoice;

/// The body of `POST /v1/responses`: the part of OpenAI's API that needs no memory of earlier requests.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct ResponseRequest {
    /// The model or an adapter. Default: the model.
    pub(crate) model: Option<String>,
    /// A text, or the items of a conversation.
    pub(crate) input: ResponseInput,
    /// The system's message.
    pub(crate) instructions: Option<String>,
    /// Functions that the model may call.
    pub(crate) tools: Option<Vec<ResponseTool>>,
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Default: true.
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) max_output_tokens: Option<i64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    /// The format of the text.
    pub(crate) text: Option<TextOptions>,
    pub(crate) stream: Option<bool>,
    /// Returned as sent.
    pub(crate) metadata: Option<Map<String, Value>>,

    // Refused unless they have no effect: nothing is stored.
    pub(crate) previous_response_id: Option<Value>,
    pub(crate) conversation: Option<Value>,
    pub(crate) background: Option<Value>,
    pub(crate) prompt: Option<Value>,
    pub(crate) truncation: Option<Value>,
    pub(crate) top_logprobs: Option<Value>,
}

/// Input of a response.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a string or a list of items")]
pub(crate) enum ResponseInput {
    Text(String),
    Items(Vec<InputItem>),
}

/// One item of a conversation.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct InputItem {
    /// `message` (default), `function_call`, `function_call_output` or `reasoning`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) content: Option<InputContent>,
    pub(crate) call_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) arguments: Option<String>,
    pub(crate) output: Option<InputContent>,
}

/// Content of an item.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a string or a list of text parts: this model reads text only"
)]
pub(crate) enum InputContent {
    Text(String),
    Parts(Vec<InputPart>),
}

/// A part of an item's content.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum InputPart {
    InputText { text: String },
    OutputText { text: String },
    Text { text: String },
}

impl InputContent {
    /// Returns the text of all parts.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => {
                let texts = parts.into_iter().map(|part| match part {
                    InputPart::InputText { text }
                    | InputPart::OutputText { text }
                    | InputPart::Text { text } => text,
                });
                texts.collect()
            }
        }
    }
}

/// A function, flat as this API has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct ResponseTool {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// All other fields: name, description, parameters, strict.
    #[serde(flatten)]
    pub(crate) function: Map<String, Value>,
}

/// Options of the text.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct TextOptions {
    /// `{"type": "text"}`, `{"type": "json_object"}` or `{"type": "json_schema", "name", "schema", "strict"}`.
    pub(crate) format: Option<Map<String, Value>>,
}
