//! Messages of a conversation.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One message.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct Message {
    pub(crate) role: String,
    pub(crate) content: Option<Content>,
    /// All other fields, such as `name`, `tool_calls` and `tool_call_id`: the chat template decides which of them it reads.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Message {
    /// Returns a user's message.
    pub(crate) fn of_user(text: String) -> Self {
        Self {
            role: "user".to_owned(),
            content: Some(Content::Text(text)),
            other: Map::new(),
        }
    }
}

/// Content of a message.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a string or a list of text parts: this model reads text only"
)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

/// A part of a message's content.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ContentPart {
    Text { text: String },
}
