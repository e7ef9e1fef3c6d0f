//! A model that is ready to serve.

use std::sync::Arc;

use model::{ChatTemplate, GenerationConfig, Tokenizer};

use super::special_tokens::SpecialTokens;
use crate::engine::Engine;
use crate::grammar::{Compiler, GrammarError};
use crate::settings::Pipeline;
use crate::tool_calls::ToolCallFormat;

/// A model that is ready to serve, with everything that handlers need.
#[derive(Debug)]
pub(crate) struct LoadedModel {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: Option<ChatTemplate>,
    /// Format of tool calls, if the chat template uses a known one.
    pub(crate) tool_call_format: Option<ToolCallFormat>,
    pub(crate) generation: GenerationConfig,
    /// Compiler for structured output, or the reason why this model cannot have it.
    pub(crate) grammars: Result<Compiler, GrammarError>,
    /// Maximum of positions of a request.
    pub(crate) context: usize,
    pub(crate) vocab_size: usize,
    /// True if the chat template knows reasoning, which the model writes before its answer.
    pub(crate) thinks: bool,
    pub(crate) special_tokens: SpecialTokens,
    /// Upper bound of the bytes of one token.
    pub(crate) max_token_bytes: usize,
    pub(crate) pipeline: Pipeline,
    /// Adapters that are merged into the weights.
    pub(crate) merged_adapters: Vec<String>,
    /// Adapters that requests may name, in the order of the engine.
    pub(crate) adapters: Vec<String>,
}

/// The model or adapter that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelChoice {
    pub(crate) name: String,
    /// Index among the adapters; `None` is the model without adapter.
    pub(crate) adapter: Option<usize>,
}

impl LoadedModel {
    /// Returns the choice for the `model` of a request, if it exists. A request without `model` gets the model itself.
    pub(crate) fn choose(&self, requested: Option<&str>) -> Option<ModelChoice> {
        let name = requested.unwrap_or(&self.name);
        let adapter = self.adapters.iter().position(|adapter| adapter == name);
        (adapter.is_some() || name == self.name).then(|| ModelChoice {
            name: name.to_owned(),
            adapter,
        })
    }
}
