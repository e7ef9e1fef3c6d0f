//! `POST /v1/chat/completions`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use model::chat::Conversation;
use serde_json::{Map, Value, json};

use super::answer::{self, Usage};
use super::body::Body;
use super::error::ApiError;
use super::options::{self, Options};
use super::reply::{self, Reply};
use super::{App, RequestId};
use crate::load::Served;
use crate::tools::{Form, Reader};

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
    body.refuse(&[
        ("response_format", json!({"type": "text"})),
        ("guided_json", Value::Null),
        ("guided_regex", Value::Null),
        ("guided_choice", Value::Null),
        ("guided_grammar", Value::Null),
        ("functions", json!([])),
        ("parallel_tool_calls", json!(true)),
    ])?;
    let mut options = Options::parse(&body, &served.generation)?;
    let log_probs = match body.flag("logprobs", false)? {
        true => Some(body.count("top_logprobs", 0..=20)?.unwrap_or(0)),
        false => None,
    };
    let calls = calls(&served, &body)?;
    if let Some((form, _)) = &calls {
        options.spelled = marks(&served, *form);
    }
    let prompt = prompt(&served, &body)?;
    let tokens = served
        .tokenizer
        .encode(&prompt, false)
        .map_err(ApiError::internal)?;
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
    let receivers = answer::start(&app, &served, requests).await?;
    if options.stream {
        let chunks = reply::stream(reply, served, receivers, usage, options.stream_usage);
        return Ok(answer::sse(chunks).into_response());
    }
    let answers = answer::collect(receivers).await?;
    Ok(Json(reply.whole(&served, &answers, usage)).into_response())
}

/// How to read calls, if there are functions and the model writes calls in a form that is known.
fn calls(served: &Served, body: &Body) -> Result<Option<(Form, Reader)>, ApiError> {
    let (Some(form), Some(tools)) = (served.calls, tools(body)?) else {
        return Ok(None);
    };
    let name = |tool: &Value| {
        let name = tool.pointer("/function/name").or_else(|| tool.get("name"));
        name.and_then(Value::as_str).map(str::to_owned)
    };
    let known = tools.iter().filter_map(name).collect();
    Ok(Some((form, Reader::new(form, known))))
}

/// Tokens that mark calls and that a text would lack, as they are special.
fn marks(served: &Served, form: Form) -> Vec<u32> {
    let is_hidden = |id: &u32| {
        served
            .tokenizer
            .decode(&[*id], true)
            .is_ok_and(|text| text.is_empty())
    };
    let ids = form
        .marks()
        .into_iter()
        .filter_map(|mark| served.tokenizer.id(mark));
    ids.filter(is_hidden).collect()
}

/// The functions the model may call.
fn tools(body: &Body) -> Result<Option<Vec<Value>>, ApiError> {
    let may = match body.get("tool_choice").map(|choice| choice.as_str()) {
        None | Some(Some("auto")) => true,
        Some(Some("none")) => false,
        Some(_) => {
            return Err(body.error(
                "tool_choice",
                "is not supported here, other than `auto` and `none`",
            ));
        }
    };
    match body.get("tools") {
        None => Ok(None),
        Some(Value::Array(tools)) if tools.is_empty() || !may => Ok(None),
        Some(Value::Array(tools)) => Ok(Some(tools.clone())),
        Some(_) => Err(body.error("tools", "is no list")),
    }
}

/// The text the model gets for a conversation.
pub(crate) fn prompt(served: &Served, body: &Body) -> Result<String, ApiError> {
    let template = served.template.as_ref();
    let template = template
        .ok_or_else(|| ApiError::field("messages", "can't be used: the model has no chat template"))?;
    let conversation = Conversation {
        messages: messages(body)?,
        tools: tools(body)?,
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
