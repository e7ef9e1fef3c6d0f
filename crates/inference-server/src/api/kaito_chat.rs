//! `POST /chat`: the text-generation API that KAITO began with.
//!
//! Two things differ from the original on purpose: a conversation's result is the assistant's text, not Python's way to print a
//! dictionary, and options that are not carried out are refused instead of ignored.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use model::sampling::SamplingParams;
use serde_json::{Value, json};

use super::body::Body;
use super::completion;
use super::error::ApiError;
use super::options::Options;
use super::{App, chat};
use crate::args::Pipeline;
use crate::load::Served;

/// `generate_kwargs` when they are not given.
const MAX_LENGTH: usize = 200;
const TOP_K: usize = 10;

pub(crate) async fn handle(State(app): State<App>, bytes: Bytes) -> Response {
    match respond(&app, &bytes).await {
        Ok(result) => Json(json!({"Result": result})).into_response(),
        Err(error) => error.into_detail(),
    }
}

async fn respond(app: &App, bytes: &[u8]) -> Result<String, ApiError> {
    let served = app.served()?;
    let body = Body::parse(bytes)?;
    let wanted = |detail: &str| ApiError {
        message: detail.to_owned(),
        ..ApiError::field("prompt", "")
    };
    let (prompt, special, is_text) = match served.pipeline {
        Pipeline::TextGeneration => match body.text("prompt")?.filter(|prompt| !prompt.is_empty()) {
            Some(prompt) => (
                format!("{}{prompt}", body.text("prefix")?.unwrap_or_default()),
                true,
                true,
            ),
            None => return Err(wanted("Text generation parameter prompt required")),
        },
        Pipeline::Conversational => match body.get("messages") {
            Some(Value::Array(list)) if !list.is_empty() => (chat::prompt(&served, &body)?, false, false),
            Some(Value::Array(_)) | None => return Err(wanted("Conversational parameter messages required")),
            Some(_) => return Err(body.error("messages", "is no list")),
        },
    };
    body.refuse(&[("handle_long_generation", Value::Null)])?;
    let full = is_text && body.flag("return_full_text", true)?;
    let tokens = served
        .tokenizer
        .encode(&prompt, special)
        .map_err(ApiError::internal)?;
    let options = options(&served, &body, tokens.len())?;
    let name = if is_text { "prompt" } else { "messages" };
    let requests = options.requests(&served, None, name, &tokens, None, MAX_LENGTH)?;
    let answers = completion::collect(completion::start(app, &served, requests).await?).await?;
    let one = |answer: &completion::Answer| {
        if full {
            format!("{prompt}{}", answer.text)
        } else {
            answer.text.clone()
        }
    };
    Ok(answers.iter().map(one).collect())
}

/// transformers' names for what the other endpoints call otherwise.
fn options(served: &Served, body: &Body, prompt: usize) -> Result<Options, ApiError> {
    let kwargs = body.inner("generate_kwargs")?;
    kwargs.refuse(&[
        ("num_beams", 1.into()),
        ("early_stopping", false.into()),
        ("num_beam_groups", 1.into()),
        ("penalty_alpha", Value::Null),
    ])?;
    kwargs.number("typical_p", 1.0..=1.0)?;
    let longest = i64::try_from(served.context).unwrap_or(i64::MAX);
    let max_length = kwargs
        .count("max_length", 1..=longest)?
        .unwrap_or(MAX_LENGTH.min(served.context));
    let most = match kwargs.count("max_new_tokens", 1..=longest)? {
        Some(most) => most,
        None if max_length > prompt => max_length - prompt,
        None => {
            let problem = format!("is {max_length}, and the prompt alone has {prompt} tokens");
            return Err(kwargs.error("max_length", problem));
        }
    };
    let min_length = kwargs.count("min_length", 0..=longest)?.unwrap_or(0);
    let greedy = !kwargs.flag("do_sample", true)?;
    let number =
        |name: &str, range, default: f32| Ok::<_, ApiError>(kwargs.number(name, range)?.unwrap_or(default));
    let settings = SamplingParams {
        temperature: if greedy {
            0.0
        } else {
            number("temperature", 0.0..=100.0, 1.0)?
        },
        top_k: kwargs.count("top_k", 0..=i64::from(u32::MAX))?.unwrap_or(TOP_K),
        top_p: number("top_p", 0.0..=1.0, 1.0)?,
        repetition_penalty: number("repetition_penalty", 0.01..=10.0, 1.0)?,
        ..SamplingParams::default()
    };
    let end = match kwargs.get("eos_token_id") {
        Some(Value::Array(_)) => kwargs.tokens("eos_token_id")?.unwrap_or_default(),
        Some(_) => vec![
            u32::try_from(
                kwargs
                    .whole("eos_token_id", 0..=i64::from(u32::MAX))?
                    .unwrap_or(0),
            )
            .unwrap_or(0),
        ],
        None => served.generation.eos_token_ids.clone(),
    };
    Ok(Options {
        choices: kwargs.count("num_return_sequences", 1..=8)?.unwrap_or(1),
        most: Some(most),
        least: min_length.saturating_sub(prompt),
        settings,
        seed: kwargs
            .whole("seed", i64::MIN..=i64::MAX)?
            .map_or_else(|| fastrand::u64(..), i64::cast_unsigned),
        stops: kwargs.texts("stop_strings", 16)?,
        end,
        spelled: Vec::new(),
        guide: None,
        stream: false,
        stream_usage: false,
    })
}
