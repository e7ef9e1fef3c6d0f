//! `POST /v1/chat/completions`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use model::chat::Conversation;
use serde_json::{Map, Value, json};

use super::body::Body;
use super::chat_response::{self, Reply};
use super::completion::{self, Usage};
use super::error::ApiError;
use super::options::{self, Options};
use super::structured_output::{self, Form};
use super::{App, RequestId, tools};
use crate::load::Served;

/// Most messages of a conversation.
const MESSAGES: usize = 4096;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let served = app.served()?;
    let body = Body::parse(&bytes)?;
    let variant = app.variant(&served, &body)?;
    body.refuse(&[("functions", json!([]))])?;
    let mut options = Options::parse(&body, &served.generation)?;
    let log_probs = match body.flag("logprobs", false)? {
        true => Some(body.count("top_logprobs", 0..=20)?.unwrap_or(0)),
        false => None,
    };
    let calls = tools::reader(&served, &body)?;
    if let Some((form, _)) = &calls {
        options.spelled = tools::marks(&served, *form);
    }
    let form = form(&served, &body)?;
    let prompt = prompt(&served, &body)?;
    let tokens = served
        .tokenizer
        .encode(&prompt, false)
        .map_err(ApiError::internal)?;
    if let Some(form) = &form {
        options.guide = Some(structured_output::matcher(&app, &served, form).await?);
    }
    let requests = options.requests(
        &served,
        variant.adapter,
        "messages",
        &tokens,
        log_probs,
        options::chat_answer(),
    )?;
    let usage = Usage {
        prompt: tokens.len(),
        ..Usage::default()
    };
    let reply = Reply {
        id: id.0,
        created: super::now(),
        model: variant.name,
        calls,
    };
    let receivers = completion::start(&app, &served, requests).await?;
    if options.stream {
        let chunks = chat_response::stream(reply, served, receivers, usage, options.stream_usage);
        return Ok(completion::sse(chunks).into_response());
    }
    let answers = completion::collect(receivers).await?;
    Ok(Json(reply.whole(&served, &answers, usage)).into_response())
}

/// The form of the answer. One that has to be a call is no text, so what is said of texts does not matter then.
fn form(served: &Served, body: &Body) -> Result<Option<Form>, ApiError> {
    match (tools::required(served, body)?, structured_output::of(body)?) {
        (Some(_), Some(form)) if !form.field.starts_with("response_format") => Err(body.error(
            "tool_choice",
            format!("asks for a call, which cannot be combined with `{}`", form.field),
        )),
        (Some(calls), _) => Ok(Some(calls)),
        (None, form) => Ok(form),
    }
}

/// The text the model gets for a conversation.
pub(crate) fn prompt(served: &Served, body: &Body) -> Result<String, ApiError> {
    let template = served.template.as_ref();
    let template = template
        .ok_or_else(|| ApiError::field("messages", "cannot be used: the model has no chat template"))?;
    let conversation = Conversation {
        messages: messages(body)?,
        tools: tools::tools(body)?,
        add_generation_prompt: body.flag("add_generation_prompt", true)?,
        arguments: match body.get("chat_template_kwargs") {
            None => Map::new(),
            Some(Value::Object(map)) => map.clone(),
            Some(_) => return Err(body.error("chat_template_kwargs", "is no object")),
        },
    };
    template
        .render(&conversation)
        .map_err(|error| ApiError::field("messages", format!("does not fit: {error}")))
}

fn messages(body: &Body) -> Result<Vec<Value>, ApiError> {
    let list = match body.get("messages") {
        Some(Value::Array(list)) if !list.is_empty() && list.len() <= MESSAGES => list,
        Some(Value::Array(_)) => {
            return Err(body.error("messages", format!("has to hold 1 to {MESSAGES} messages")));
        }
        Some(_) => return Err(body.error("messages", "is no list")),
        None => return Err(body.error("messages", "is missing")),
    };
    list.iter()
        .enumerate()
        .map(|(index, message)| self::message(index, message))
        .collect()
}

/// A message with its content as one string, as templates want it.
fn message(index: usize, message: &Value) -> Result<Value, ApiError> {
    let error = |field: &str, problem: &str| ApiError::field(format!("messages[{index}]{field}"), problem);
    let Value::Object(map) = message else {
        return Err(error("", "is no object"));
    };
    if !map.get("role").is_some_and(Value::is_string) {
        return Err(error(".role", "is missing or no string"));
    }
    let content = match map.get("content") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(parts)) => {
            let text = |part: &Value| match part.get("type").and_then(Value::as_str) {
                Some("text") => part.get("text").and_then(Value::as_str).map(str::to_owned),
                _ => None,
            };
            let texts: Option<Vec<String>> = parts.iter().map(text).collect();
            texts
                .ok_or_else(|| {
                    error(
                        ".content",
                        "holds something else than text: this model reads text only",
                    )
                })?
                .concat()
        }
        Some(_) => return Err(error(".content", "is neither a string nor a list of parts")),
    };
    let mut map = map.clone();
    map.insert("content".to_owned(), content.into());
    if let Some(calls) = map.get_mut("tool_calls").and_then(Value::as_array_mut) {
        calls.iter_mut().for_each(open_arguments);
    }
    Ok(Value::Object(map))
}

/// Arguments come as JSON in a string, and templates print objects.
fn open_arguments(call: &mut Value) {
    let Some(arguments) = call.pointer_mut("/function/arguments") else {
        return;
    };
    let opened = arguments
        .as_str()
        .and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    if let Some(opened) = opened {
        *arguments = opened.into();
    }
}
