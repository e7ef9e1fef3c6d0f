//! Prompts and inputs of embeddings, as tokens.

use std::sync::Arc;

use model::sampling::SamplingParams;

use crate::api::app::App;
use crate::api::error::ApiError;
use crate::api::requests::{Prompt, PromptList};
use crate::engine::{CacheScope, Request};
use crate::load::LoadedModel;

/// Encodes one to `max` prompts.
pub(crate) async fn encode(
    app: &App,
    model: &Arc<LoadedModel>,
    name: &'static str,
    prompts: PromptList,
    max: usize,
) -> Result<Vec<Vec<u32>>, ApiError> {
    let model = Arc::clone(model);
    let work = move || encode_here(&model, name, prompts, max);
    app.admission.encode(work).await
}

/// Refuses a text that cannot fit, before the tokenizer spends time on it.
pub(crate) fn check_length(model: &LoadedModel, name: &str, text: &str) -> Result<(), ApiError> {
    let least_tokens = text.len() / model.max_token_bytes;
    if least_tokens > model.context {
        return Err(ApiError::too_long(name, least_tokens, 1, model.context));
    }
    Ok(())
}

fn encode_here(
    model: &LoadedModel,
    name: &str,
    prompts: PromptList,
    max: usize,
) -> Result<Vec<Vec<u32>>, ApiError> {
    let encode = |text: &str| {
        check_length(model, name, text)?;
        model.tokenizer.encode(text, true).map_err(ApiError::internal)
    };
    let prompts = match prompts {
        PromptList::Text(text) => return Ok(vec![encode(&text)?]),
        PromptList::Tokens(tokens) if !tokens.is_empty() => return Ok(vec![tokens]),
        // An empty list parses as a list of tokens.
        PromptList::Tokens(_) => Vec::new(),
        PromptList::Many(prompts) => prompts,
    };
    if prompts.is_empty() || prompts.len() > max {
        return Err(ApiError::parameter(
            name,
            format!("must have 1 to {max} entries, not {}", prompts.len()),
        ));
    }
    prompts
        .into_iter()
        .map(|prompt| match prompt {
            Prompt::Text(text) => encode(&text),
            Prompt::Tokens(tokens) => Ok(tokens),
        })
        .collect()
}

/// Refuses an empty prompt and tokens that the model does not have.
pub(crate) fn check_tokens(model: &LoadedModel, name: &str, prompt: &[u32]) -> Result<(), ApiError> {
    if prompt.is_empty() {
        return Err(ApiError::parameter(name, "must not be empty"));
    }
    match prompt.iter().find(|token| **token as usize >= model.vocab_size) {
        Some(token) => Err(ApiError::parameter(
            name,
            format!("must have token ids below {}, not {token}", model.vocab_size),
        )),
        None => Ok(()),
    }
}

/// Returns the request for an embedding. `name` is the parameter with the text.
pub(crate) fn embedding(
    model: &LoadedModel,
    adapter: Option<usize>,
    name: &str,
    prompt: Vec<u32>,
    scope: CacheScope,
) -> Result<Request, ApiError> {
    check_tokens(model, name, &prompt)?;
    if prompt.len() > model.context {
        return Err(ApiError::too_long(name, prompt.len(), 0, model.context));
    }
    Ok(Request {
        prompt,
        adapter,
        scope,
        embedding: true,
        sampling: SamplingParams::default(),
        seed: 0,
        max_tokens: 0,
        min_tokens: 0,
        stop: Vec::new(),
        end_tokens: Vec::new(),
        visible_special_tokens: Vec::new(),
        log_probs: None,
        prompt_log_probs: None,
        grammar: None,
    })
}
