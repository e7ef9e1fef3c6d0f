//! The body of `POST /v1/embeddings`.

use serde::Deserialize;
use serde_json::Value;

use super::prompt::PromptList;

/// The body of `POST /v1/embeddings`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
pub(crate) struct EmbeddingRequest {
    /// The model or an adapter. Default: the model.
    pub(crate) model: Option<String>,
    pub(crate) input: PromptList,
    /// Default: `float`.
    pub(crate) encoding_format: Option<EncodingFormat>,
    /// Refused.
    pub(crate) dimensions: Option<Value>,
}

/// Format of a vector in the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EncodingFormat {
    /// A list of numbers.
    Float,
    /// 32-bit floats in little-endian order, in base64.
    Base64,
}
