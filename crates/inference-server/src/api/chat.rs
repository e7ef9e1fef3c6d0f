//! `POST /v1/chat/completions`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use model::chat::Conversation;
use model::sampling::LogProbs;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Usage};
use super::body::Body;
use super::error::ApiError;
use super::options::{self, Options};
use super::{App, RequestId};
use crate::engine::{Event, Reason, Token};
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
    body.refuse(&[
        ("response_format", json!({"type": "text"})),
        ("guided_json", Value::Null),
        ("guided_regex", Value::Null),
        ("guided_choice", Value::Null),
        ("guided_grammar", Value::Null),
        ("functions", json!([])),
    ])?;
    let options = Options::parse(&body, &served.generation)?;
    let log_probs = match body.flag("logprobs", false)? {
        true => Some(body.count("top_logprobs", 0..=20)?.unwrap_or(0)),
        false => None,
    };
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
    };
    let receivers = answer::start(&app, &served, requests).await?;
    if options.stream {
        let chunks = stream(reply, served, receivers, usage, options.stream_usage);
        return Ok(answer::sse(chunks).into_response());
    }
    let answers = answer::collect(receivers).await?;
    Ok(Json(reply.whole(&served, &answers, usage)).into_response())
}

/// The text the model gets for a conversation.
pub(crate) fn prompt(served: &Served, body: &Body) -> Result<String, ApiError> {
    let template = served.template.as_ref();
    let template = template
        .ok_or_else(|| ApiError::field("messages", "can't be used: the model has no chat template"))?;
    let conversation = Conversation {
        messages: messages(body)?,
        tools: match body.get("tools") {
            None => None,
            Some(Value::Array(tools)) if tools.is_empty() => None,
            Some(Value::Array(tools)) => Some(tools.clone()),
            Some(_) => return Err(body.error("tools", "is no list")),
        },
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
    Ok(Value::Object(map))
}

/// What all parts of a reply have in common.
#[derive(Clone, Debug)]
struct Reply {
    id: String,
    created: u64,
    model: String,
}

impl Reply {
    fn whole(&self, served: &Served, answers: &[Answer], mut usage: Usage) -> Value {
        answers.iter().for_each(|answer| usage.add(&answer.end));
        let choice = |(index, answer): (usize, &Answer)| {
            json!({
                "index": index,
                "message": {"role": "assistant", "content": answer.text},
                "logprobs": log_probs(served, &answer.tokens),
                "finish_reason": answer.end.reason.as_str(),
            })
        };
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": answers.iter().enumerate().map(choice).collect::<Vec<_>>(),
            "usage": usage.json(),
        })
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices,
        })
    }

    fn delta(&self, index: usize, delta: &Value, log_probs: &Value, reason: Option<Reason>) -> Value {
        self.chunk(&json!([{
            "index": index, "delta": delta, "logprobs": log_probs, "finish_reason": reason.map(Reason::as_str),
        }]))
    }
}

fn stream(
    reply: Reply,
    served: std::sync::Arc<Served>,
    receivers: Vec<tokio::sync::mpsc::UnboundedReceiver<Event>>,
    mut usage: Usage,
    with_usage: bool,
) -> impl futures::Stream<Item = Value> + Send + 'static {
    let first: Vec<Value> = (0..receivers.len())
        .map(|index| {
            reply.delta(
                index,
                &json!({"role": "assistant", "content": ""}),
                &Value::Null,
                None,
            )
        })
        .collect();
    let mut open = receivers.len();
    let events = answer::merged(receivers).flat_map(move |(index, event)| {
        let mut chunks = Vec::new();
        match event {
            Event::Token(token) => {
                let log_probs = log_probs(&served, std::slice::from_ref(&token));
                // A token whose text is held back says nothing, unless somebody counts.
                if !token.text.is_empty() || !log_probs.is_null() {
                    chunks.push(reply.delta(index, &json!({"content": token.text}), &log_probs, None));
                }
            }
            Event::End(end) => {
                usage.add(&end);
                open -= 1;
                if !end.text.is_empty() {
                    chunks.push(reply.delta(index, &json!({"content": end.text}), &Value::Null, None));
                }
                chunks.push(reply.delta(index, &json!({}), &Value::Null, Some(end.reason)));
                if open == 0 && with_usage {
                    let mut last = reply.chunk(&json!([]));
                    last["usage"] = usage.json();
                    chunks.push(last);
                }
            }
        }
        futures::stream::iter(chunks)
    });
    futures::stream::iter(first).chain(events)
}

fn log_probs(served: &Served, tokens: &[Token]) -> Value {
    let entry = |token: &Token| {
        let probs: &LogProbs = token.log_probs.as_ref()?;
        let mut own = spelled(served, token.id, probs.chosen);
        own["top_logprobs"] = probs
            .top
            .iter()
            .map(|(id, log_prob)| spelled(served, *id, *log_prob))
            .collect();
        Some(own)
    };
    let entries: Option<Vec<Value>> = tokens.iter().map(entry).collect();
    match entries {
        Some(entries) if !entries.is_empty() => json!({"content": entries}),
        _ => Value::Null,
    }
}

fn spelled(served: &Served, id: u32, log_prob: f32) -> Value {
    let text = served.tokenizer.decode(&[id], false).unwrap_or_default();
    json!({"token": text, "logprob": log_prob, "bytes": text.as_bytes()})
}
