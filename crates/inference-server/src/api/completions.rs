//! `POST /v1/completions`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::app::{self, App};
use super::completion::{self, Usage};
use super::completions_response::{TextResponse, stream};
use super::context::RequestContext;
use super::error::ApiError;
use super::requests::{CompletionRequest, parse};
use super::validate::{
    self, constraint_fields, count, generation_fields, refuse_unless, refuse_unsupported, unsupported_fields,
};
use crate::engine::Request;
use crate::load::LoadedModel;

/// Maximum of prompts of a request.
const MAX_PROMPTS: usize = 32;
/// Default of `max_tokens`, as in OpenAI's API.
const DEFAULT_MAX_TOKENS: usize = 16;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let model = app.model()?;
    let request: CompletionRequest = parse(&bytes, &context)?;
    let text = validate(&app, &model, request, &context).await?;
    let receivers = completion::start(&app, &model, text.requests).await?;
    if text.stream {
        let chunks = stream(text.response, model, receivers, text.usage, text.include_usage);
        return Ok(completion::sse(chunks).into_response());
    }
    let completions = completion::collect(receivers).await?;
    Ok(Json(text.response.json(&model, &completions, text.usage)).into_response())
}

/// A validated request.
struct TextCompletions {
    requests: Vec<Request>,
    response: TextResponse,
    usage: Usage,
    stream: bool,
    include_usage: bool,
}

async fn validate(
    app: &App,
    model: &Arc<LoadedModel>,
    mut request: CompletionRequest,
    context: &RequestContext,
) -> Result<TextCompletions, ApiError> {
    let choice = app::choose(model, request.model.as_deref())?;
    refuse_unless(&"".into(), "suffix", request.suffix.as_ref())?;
    let neutral = request.n.unwrap_or(1).into();
    refuse_unless(&neutral, "best_of", request.best_of.as_ref())?;
    refuse_unsupported(&unsupported_fields!(request))?;
    let log_probs = count("logprobs", request.logprobs, 0..=20)?;
    let echo = request.echo.unwrap_or(false);
    // Evaluations ask for the prompt alone, with its log probabilities.
    let prompt_alone = echo && request.max_tokens == Some(0) && request.max_completion_tokens.is_none();
    if prompt_alone {
        request.max_tokens = None;
    }
    let mut options = generation_fields!(request).validate(&model.generation)?;
    options.scope = context.scope;
    options.prompt_log_probs = log_probs.filter(|_| echo);
    if prompt_alone {
        options.max_tokens = Some(0);
    }
    let constraint = constraint_fields!(request).validate()?;
    let prompts = validate::encode(app, model, "prompt", request.prompt, MAX_PROMPTS).await?;
    if let Some(constraint) = &constraint {
        options.grammar = Some(validate::matcher(model, &app.metrics, constraint).await?);
    }
    let mut requests = Vec::new();
    let mut echoed_prompts = Vec::new();
    for prompt in &prompts {
        let input = ("prompt", prompt.as_slice());
        let choices = options.requests(model, choice.adapter, input, log_probs, DEFAULT_MAX_TOKENS)?;
        let echoed = if echo {
            model.tokenizer.decode(prompt, true).map_err(ApiError::internal)?
        } else {
            String::new()
        };
        let prompt_tokens = if options.prompt_log_probs.is_some() {
            prompt.as_slice()
        } else {
            &[]
        };
        echoed_prompts.extend(std::iter::repeat_n(
            (echoed, prompt_tokens.to_vec()),
            choices.len(),
        ));
        requests.extend(choices);
    }
    let base: Value = json!({
        "id": context.id, "object": "text_completion", "created": app::unix_time(), "model": choice.name,
    });
    Ok(TextCompletions {
        requests,
        response: TextResponse { base, echoed_prompts },
        usage: Usage::of_prompt(prompts.iter().map(Vec::len).sum()),
        stream: options.stream,
        include_usage: options.include_usage,
    })
}
