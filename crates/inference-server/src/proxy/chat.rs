//! `POST /chat` before an engine with OpenAI's API.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::engine::Proxy;
use crate::api::{ApiError, GenerateKwargs, RequestContext, count, number, parse, refuse_kwargs};
use crate::settings::Pipeline;

/// Maximum for numbers of tokens; the context of the model is the real bound.
const MAX_TOKENS: i64 = 1 << 24;
/// Default of `max_length`.
const DEFAULT_MAX_LENGTH: usize = 200;

/// The body of `POST /chat`. The engine checks prompt and messages, so they pass as sent.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct ProxyChatRequest {
    prompt: Option<Value>,
    /// Text to put before the prompt.
    prefix: Option<String>,
    messages: Option<Value>,
    tools: Option<Value>,
    tool_choice: Option<Value>,
    chat_template_kwargs: Option<Value>,
    /// Complete the bare prompt and repeat it before the completion.
    return_full_text: Option<bool>,
    generate_kwargs: Option<GenerateKwargs>,
}

/// Answers `/chat` with the engine's OpenAI API.
pub(super) async fn handle(
    State(proxy): State<Proxy>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Response {
    match respond(&proxy, &context, &bytes).await {
        Ok(text) => Json(json!({"Result": text})).into_response(),
        Err(error) => error.into_detail(),
    }
}

async fn respond(proxy: &Proxy, context: &RequestContext, bytes: &[u8]) -> Result<String, ApiError> {
    let request: ProxyChatRequest = parse(bytes, context)?;
    let options = options(request.generate_kwargs.unwrap_or_default())?;
    let prompt = request.prompt.filter(|prompt| *prompt != "");
    let (messages, prompt) = match (proxy.pipeline, prompt, request.messages) {
        (Pipeline::TextGeneration, Some(Value::String(text)), _) => {
            let text = request.prefix.unwrap_or_default() + &text;
            (json!([{"role": "user", "content": text}]), Some(text))
        }
        (Pipeline::TextGeneration, Some(_), _) => {
            return Err(ApiError::parameter("prompt", "must be a string"));
        }
        (_, _, Some(messages)) => (messages, None),
        (Pipeline::TextGeneration, None, None) => {
            return Err(required("prompt", "Text generation parameter prompt required"));
        }
        (Pipeline::Conversational, _, None) => {
            return Err(required("messages", "Conversational parameter messages required"));
        }
    };
    if let Some(text) = prompt.as_ref().filter(|_| request.return_full_text == Some(true)) {
        return complete(proxy, options, text, true).await;
    }
    let mut body = options.clone();
    body["messages"] = messages;
    for (name, value) in [
        ("tools", request.tools),
        ("tool_choice", request.tool_choice),
        ("chat_template_kwargs", request.chat_template_kwargs),
    ] {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    match (proxy.post("/v1/chat/completions", &body).await, prompt) {
        (Ok(response), _) => Ok(texts(&response, "/message/content").collect()),
        // A model without a chat template has no turns: the prompt is text to continue.
        (Err(error), Some(text)) if has_no_template(&error) => {
            complete(proxy, options, &text, request.return_full_text.unwrap_or(true)).await
        }
        (Err(error), _) => Err(error),
    }
}

fn required(parameter: &str, detail: &str) -> ApiError {
    ApiError {
        message: detail.to_owned(),
        ..ApiError::parameter(parameter, "")
    }
}

fn has_no_template(error: &ApiError) -> bool {
    error.status == StatusCode::BAD_REQUEST && error.message.contains("chat template")
}

/// Completes the bare text.
async fn complete(proxy: &Proxy, mut body: Value, text: &str, echo: bool) -> Result<String, ApiError> {
    body["prompt"] = text.into();
    let response = proxy.post("/v1/completions", &body).await?;
    let echoed = if echo { text } else { "" };
    Ok(texts(&response, "/text")
        .map(|text| format!("{echoed}{text}"))
        .collect())
}

/// Returns the texts of all choices.
fn texts<'a>(response: &'a Value, at: &'a str) -> impl Iterator<Item = &'a str> {
    let choices = response["choices"].as_array().into_iter().flatten();
    choices.map(move |choice| choice.pointer(at).and_then(Value::as_str).unwrap_or_default())
}

/// Translates `generate_kwargs`. `max_length` counts the prompt, which only the engine can, so it bounds the completion instead.
fn options(kwargs: GenerateKwargs) -> Result<Value, ApiError> {
    refuse_kwargs(&kwargs)?;
    let length = |name, value| count(name, value, 1..=MAX_TOKENS);
    let max_tokens = match length("generate_kwargs.max_new_tokens", kwargs.max_new_tokens)? {
        Some(max) => max,
        None => length("generate_kwargs.max_length", kwargs.max_length)?.unwrap_or(DEFAULT_MAX_LENGTH),
    };
    let temperature = if kwargs.do_sample.unwrap_or(true) {
        number("generate_kwargs.temperature", kwargs.temperature, 0.0..=2.0)?.unwrap_or(1.0)
    } else {
        0.0
    };
    let choices = count(
        "generate_kwargs.num_return_sequences",
        kwargs.num_return_sequences,
        1..=8,
    )?;
    let penalty = number(
        "generate_kwargs.repetition_penalty",
        kwargs.repetition_penalty,
        0.01..=10.0,
    )?;
    let mut body = json!({
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": number("generate_kwargs.top_p", kwargs.top_p, 0.0..=1.0)?.unwrap_or(1.0),
        "top_k": count("generate_kwargs.top_k", kwargs.top_k, 0..=MAX_TOKENS)?.unwrap_or(10),
        "n": choices.unwrap_or(1),
        "repetition_penalty": penalty.unwrap_or(1.0),
    });
    if let Some(seed) = kwargs.seed {
        body["seed"] = seed.into();
    }
    if let Some(stop) = kwargs.stop_strings {
        body["stop"] = stop.into_list().into();
    }
    if let Some(tokens) = kwargs.eos_token_id {
        body["stop_token_ids"] = tokens.into_list().into();
    }
    Ok(body)
}
