//! `POST /v1/completions`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::{Map, Value, json};

use super::body::{Body, token};
use super::completion::{self, Usage};
use super::error::ApiError;
use super::options::Options;
use super::{App, RequestId, structured_output};
use crate::engine::{Event, Token};
use crate::load::Served;

/// Most prompts of a request.
const PROMPTS: usize = 16;
/// Tokens of an answer when nothing is said: as OpenAI has it.
const ANSWER: usize = 16;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let served = app.served()?;
    let body = Body::parse(&bytes)?;
    let variant = app.variant(&served, &body)?;
    body.refuse(&[
        ("suffix", "".into()),
        ("best_of", body.get("n").cloned().unwrap_or_else(|| 1.into())),
    ])?;
    let mut options = Options::parse(&body, &served.generation)?;
    let log_probs = body.count("logprobs", 0..=20)?;
    let echo = body.flag("echo", false)?;
    let prompts = prompts(&served, &body, "prompt", PROMPTS)?;
    if let Some(form) = structured_output::of(&body)? {
        options.guide = Some(structured_output::matcher(&app, &served, &form).await?);
    }
    let mut requests = Vec::new();
    let mut heads = Vec::new();
    let mut usage = Usage::default();
    for prompt in &prompts {
        usage.prompt += prompt.len();
        requests.extend(options.requests(&served, variant.adapter, "prompt", prompt, log_probs, ANSWER)?);
        let head = if echo {
            served
                .tokenizer
                .decode(prompt, true)
                .map_err(ApiError::internal)?
        } else {
            String::new()
        };
        heads.extend(std::iter::repeat_n(head, options.choices));
    }
    let base =
        json!({"id": id.0, "object": "text_completion", "created": super::now(), "model": variant.name});
    let receivers = completion::start(&app, &served, requests).await?;
    if options.stream {
        let chunks = stream(base, served, receivers, heads, usage, options.stream_usage);
        return Ok(completion::sse(chunks).into_response());
    }
    let answers = completion::collect(receivers).await?;
    let mut reply = base;
    let choices = answers
        .iter()
        .zip(&heads)
        .enumerate()
        .map(|(index, (answer, head))| {
            usage.add(&answer.end);
            json!({
                "index": index, "text": format!("{head}{}", answer.text),
                "logprobs": self::log_probs(&served, &answer.tokens, head.len()),
                "finish_reason": answer.end.reason.as_str(),
            })
        });
    reply["choices"] = choices.collect();
    reply["usage"] = usage.json();
    Ok(Json(reply).into_response())
}

/// A string, several, tokens, or several lists of tokens, of which there may be `most`.
pub(crate) fn prompts(
    served: &Served,
    body: &Body,
    name: &str,
    most: usize,
) -> Result<Vec<Vec<u32>>, ApiError> {
    let wrong = || {
        body.error(
            name,
            format!("is neither text nor tokens, nor a list of at most {most} of them"),
        )
    };
    let encode = |text: &str| served.tokenizer.encode(text, true).map_err(ApiError::internal);
    let tokens = |list: &[Value]| list.iter().map(token).collect::<Option<Vec<u32>>>();
    match body.get(name) {
        Some(Value::String(text)) => Ok(vec![encode(text)?]),
        Some(Value::Array(list)) => match tokens(list) {
            Some(one) if !one.is_empty() => Ok(vec![one]),
            _ if list.is_empty() || list.len() > most => Err(wrong()),
            _ => list
                .iter()
                .map(|entry| match entry {
                    Value::String(text) => encode(text),
                    Value::Array(list) => tokens(list).ok_or_else(wrong),
                    _ => Err(wrong()),
                })
                .collect(),
        },
        Some(_) => Err(wrong()),
        None => Err(body.error(name, "is missing")),
    }
}

fn stream(
    base: Value,
    served: std::sync::Arc<Served>,
    receivers: Vec<tokio::sync::mpsc::UnboundedReceiver<Event>>,
    heads: Vec<String>,
    mut usage: Usage,
    with_usage: bool,
) -> impl futures::Stream<Item = Value> + Send + 'static {
    let chunk = move |choices: Value| {
        let mut chunk = base.clone();
        chunk["choices"] = choices;
        chunk
    };
    let choice = |index: usize, text: &str, log_probs: Value, reason: Option<&str>| json!([{"index": index, "text": text, "logprobs": log_probs, "finish_reason": reason}]);
    let mut written: Vec<usize> = heads.iter().map(String::len).collect();
    let echoed = heads.into_iter().enumerate().filter(|(_, head)| !head.is_empty());
    let first: Vec<Value> = echoed
        .map(|(index, head)| chunk(choice(index, &head, Value::Null, None)))
        .collect();
    let mut open = receivers.len();
    let events = completion::merged(receivers).flat_map(move |(index, event)| {
        let mut chunks = Vec::new();
        match event {
            Event::Token(token) => {
                let log_probs = log_probs(&served, std::slice::from_ref(&token), written[index]);
                written[index] += token.text.len();
                if !token.text.is_empty() || !log_probs.is_null() {
                    chunks.push(chunk(choice(index, &token.text, log_probs, None)));
                }
            }
            Event::End(end) => {
                usage.add(&end);
                open -= 1;
                chunks.push(match completion::failure(&end) {
                    Some(error) => error,
                    None => chunk(choice(index, &end.text, Value::Null, Some(end.reason.as_str()))),
                });
                if open == 0 && with_usage {
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

/// OpenAI's older form: lists side by side.
fn log_probs(served: &Served, tokens: &[Token], from: usize) -> Value {
    let spelled = |id: u32| served.tokenizer.decode(&[id], false).unwrap_or_default();
    let (mut names, mut own, mut top, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut offset = from;
    for token in tokens {
        let Some(probs) = &token.log_probs else {
            return Value::Null;
        };
        let name = spelled(token.id);
        offsets.push(offset);
        offset += name.len();
        names.push(name);
        own.push(probs.chosen);
        let likeliest = probs
            .top
            .iter()
            .map(|(id, log_prob)| (spelled(*id), Value::from(*log_prob)));
        top.push(Value::Object(likeliest.collect::<Map<_, _>>()));
    }
    if names.is_empty() {
        return Value::Null;
    }
    json!({"tokens": names, "token_logprobs": own, "top_logprobs": top, "text_offset": offsets})
}
