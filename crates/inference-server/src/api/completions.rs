//! `POST /v1/completions`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::app::{self, App};
use super::completion::{self, Usage};
use super::context::RequestContext;
use super::error::ApiError;
use super::requests::{CompletionRequest, parse};
use super::validate::{self, constraint_fields, count, generation_fields, refuse_unless};
use crate::engine::{CompletionEvent, Request, Token};
use crate::load::LoadedModel;

/// Maximum of prompts of a request.
const MAX_PROMPTS: usize = 16;
/// Default of `max_tokens`, as in OpenAI's API.
const DEFAULT_MAX_TOKENS: usize = 16;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let model = app.model()?;
    let request: CompletionRequest = parse(&bytes, &context)?;
    let text = validate(&app, &model, request, context.id).await?;
    let receivers = completion::start(&app, &model, text.requests).await?;
    let mut usage = text.usage;
    if text.stream {
        let chunks = stream(
            text.base,
            model,
            receivers,
            text.echoed_prompts,
            usage,
            text.include_usage,
        );
        return Ok(completion::sse(chunks).into_response());
    }
    let completions = completion::collect(receivers).await?;
    let mut response = text.base;
    let choices =
        completions
            .iter()
            .zip(&text.echoed_prompts)
            .enumerate()
            .map(|(index, (completion, echoed))| {
                usage.add(&completion.finish);
                json!({
                    "index": index, "text": format!("{echoed}{}", completion.text),
                    "logprobs": log_probs(&model, &completion.tokens, echoed.len()),
                    "finish_reason": completion.finish.reason.as_str(),
                })
            });
    response["choices"] = choices.collect();
    response["usage"] = usage.json();
    Ok(Json(response).into_response())
}

/// A validated request.
struct TextCompletions {
    requests: Vec<Request>,
    /// The prompt of each request if the response repeats it, otherwise an empty string.
    echoed_prompts: Vec<String>,
    /// The response without choices.
    base: Value,
    usage: Usage,
    stream: bool,
    include_usage: bool,
}

async fn validate(
    app: &App,
    model: &LoadedModel,
    request: CompletionRequest,
    id: String,
) -> Result<TextCompletions, ApiError> {
    let choice = app::choose(model, request.model.as_deref())?;
    refuse_unless(&"".into(), "suffix", request.suffix.as_ref())?;
    let neutral = request.n.unwrap_or(1).into();
    refuse_unless(&neutral, "best_of", request.best_of.as_ref())?;
    let log_probs = count("logprobs", request.logprobs, 0..=20)?;
    let echo = request.echo.unwrap_or(false);
    let mut options = generation_fields!(request).validate(&model.generation)?;
    let constraint = constraint_fields!(request).validate()?;
    let prompts = validate::encode(model, "prompt", request.prompt, MAX_PROMPTS)?;
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
        echoed_prompts.extend(std::iter::repeat_n(echoed, choices.len()));
        requests.extend(choices);
    }
    let base =
        json!({"id": id, "object": "text_completion", "created": app::unix_time(), "model": choice.name});
    Ok(TextCompletions {
        requests,
        echoed_prompts,
        base,
        usage: Usage::of_prompt(prompts.iter().map(Vec::len).sum()),
        stream: options.stream,
        include_usage: options.include_usage,
    })
}

fn stream(
    base: Value,
    model: Arc<LoadedModel>,
    receivers: Vec<UnboundedReceiver<CompletionEvent>>,
    echoed_prompts: Vec<String>,
    mut usage: Usage,
    include_usage: bool,
) -> impl futures::Stream<Item = Value> + Send + 'static {
    let chunk = move |choices: Value| {
        let mut chunk = base.clone();
        chunk["choices"] = choices;
        chunk
    };
    let choice = |index: usize, text: &str, log_probs: Value, reason: Option<&str>| json!([{"index": index, "text": text, "logprobs": log_probs, "finish_reason": reason}]);
    let mut sent: Vec<usize> = echoed_prompts.iter().map(String::len).collect();
    let echoed = echoed_prompts
        .into_iter()
        .enumerate()
        .filter(|(_, echoed)| !echoed.is_empty());
    let first: Vec<Value> = echoed
        .map(|(index, echoed)| chunk(choice(index, &echoed, Value::Null, None)))
        .collect();
    let mut open = receivers.len();
    let events = completion::merged(receivers).flat_map(move |(index, event)| {
        let mut chunks = Vec::new();
        match event {
            CompletionEvent::Token(token) => {
                let log_probs = log_probs(&model, std::slice::from_ref(&token), sent[index]);
                sent[index] += token.text.len();
                if !token.text.is_empty() || !log_probs.is_null() {
                    chunks.push(chunk(choice(index, &token.text, log_probs, None)));
                }
            }
            CompletionEvent::Finish(finish) => {
                usage.add(&finish);
                open -= 1;
                chunks.push(match completion::failure(&finish) {
                    Some(error) => error,
                    None => {
                        let reason = Some(finish.reason.as_str());
                        chunk(choice(index, &finish.text, Value::Null, reason))
                    }
                });
                if open == 0 && include_usage {
                    let mut last = chunk(json!([]));
                    last["usage"] = usage.json();
                    chunks.push(last);
                }
            }
        }
        futures::stream::iter(chunks)
    });
    futures::stream::iter(first).chain(events)
}

/// Returns log probabilities in the shape of OpenAI's older API: parallel lists.
fn log_probs(model: &LoadedModel, tokens: &[Token], offset: usize) -> Value {
    let text = |id: u32| model.tokenizer.decode(&[id], false).unwrap_or_default();
    let (mut texts, mut log_probs, mut top, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut offset = offset;
    for token in tokens {
        let Some(probs) = &token.log_probs else {
            return Value::Null;
        };
        let token_text = text(token.id);
        offsets.push(offset);
        offset += token_text.len();
        texts.push(token_text);
        log_probs.push(probs.chosen);
        let alternatives = probs
            .top
            .iter()
            .map(|(id, log_prob)| (text(*id), Value::from(*log_prob)));
        top.push(Value::Object(alternatives.collect::<Map<_, _>>()));
    }
    if texts.is_empty() {
        return Value::Null;
    }
    json!({"tokens": texts, "token_logprobs": log_probs, "top_logprobs": top, "text_offset": offsets})
}
