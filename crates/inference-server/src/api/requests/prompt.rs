//! Values that clients may write in several ways: prompts, strings and token ids. An error names the parameter, not an element.

use serde::Deserialize;
use serde_json::Value;

/// One prompt or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a string, a list of token ids, or a list of these"
)]
pub(crate) enum PromptList {
    Text(String),
    Tokens(Vec<u32>),
    Many(Vec<Prompt>),
}

/// One prompt.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a string or a list of token ids")]
pub(crate) enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// One string or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a string or a list of strings")]
pub(crate) enum StringOrList {
    One(String),
    Many(Vec<String>),
}

/// Strings.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct StringList(pub(crate) Vec<String>);

/// Token ids.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct TokenIds(pub(crate) Vec<u32>);

impl StringOrList {
    pub(crate) fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(list) => list,
        }
    }
}

impl TryFrom<Value> for StringList {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        serde_json::from_value(value)
            .map(Self)
            .map_err(|_| "must be a list of strings")
    }
}

impl TryFrom<Value> for TokenIds {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        serde_json::from_value(value)
            .map(Self)
            .map_err(|_| "must be a list of token ids")
    }
}
