//! Constraints of a completion: OpenAI's `response_format` and vLLM's `structured_outputs`.

use serde::Deserialize;
use serde_json::Value;

use super::prompt::StringList;

/// OpenAI's `response_format`.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct ResponseFormat {
    #[serde(rename = "type")]
    pub(crate) format: ResponseFormatType,
    /// Required for the type `json_schema`.
    pub(crate) json_schema: Option<JsonSchemaFormat>,
}

/// Type of a `response_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseFormatType {
    Text,
    JsonObject,
    JsonSchema,
}

/// A named schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct JsonSchemaFormat {
    #[serde(rename = "name")]
    _name: Option<Value>,
    #[serde(rename = "description")]
    _description: Option<Value>,
    /// Required.
    pub(crate) schema: Option<Value>,
    pub(crate) strict: Option<bool>,
}

/// vLLM's `structured_outputs`. At most one of the constraints may be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct StructuredOutputs {
    /// A schema, or the text of one.
    pub(crate) json: Option<Value>,
    pub(crate) json_object: Option<bool>,
    pub(crate) regex: Option<String>,
    pub(crate) choice: Option<StringList>,
    pub(crate) grammar: Option<String>,
    pub(crate) whitespace_pattern: Option<String>,
    pub(crate) disable_any_whitespace: Option<bool>,
    /// Refused unless `false`.
    pub(crate) disable_additional_properties: Option<Value>,
    /// Refused.
    pub(crate) structural_tag: Option<Value>,
}
