//! `POST /chat`, the first API of KAITO.
//!
//! Two things differ from the original on purpose. The result of a conversation is the text of the completion, not Python's
//! representation of a dictionary. Options that would change the completion and are not supported are refused.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use model::sampling::SamplingParams;
use serde_json::{Value, json};

use super::app::App;
use super::completion;
use super::context::RequestContext;
use super::error::ApiError;
use super::requests::{EosTokenId, GenerateKwargs, KaitoChatRequest, parse};
use super::validate::{
    self, ConversationFields, GenerationOptions, ToolFields, count, number, refuse_unless, strings,
};
use crate::load::LoadedModel;
use crate::settings::Pipeline;

/// Default of `max_length`.
const DEFAULT_MAX_LENGTH: usize = 200;
/// Default of `top_k`.
const DEFAULT_TOP_K: usize = 10;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Response {
    match respond(&app, &context, &bytes).await {
        Ok(result) => Json(json!({"Result": result})).into_response(),
        Err(error) => error.into_detail(),
    }
}

/// Text for the model.
struct ChatPrompt {
    text: String,
    /// Parameter that the text comes from.
    parameter: &'static str,
    /// Add the tokenizer's special tokens.
    add_special_tokens: bool,
    /// Repeat the text before the completion.
    echo: bool,
}

async fn respond(app: &App, context: &RequestContext, bytes: &[u8]) -> Result<String, ApiError> {
    let model = app.model()?;
    let mut request: KaitoChatRequest = parse(bytes, context)?;
    let kwargs = request.generate_kwargs.take().unwrap_or_default();
    refuse_unless(
        &Value::Null,
        "handle_long_generation",
        request.handle_long_generation.as_ref(),
    )?;
    let prompt = prompt(&model, request)?;
    let tokens = model
        .tokenizer
        .encode(&prompt.text, prompt.add_special_tokens)
        .map_err(ApiError::internal)?;
    let options = options(&model, kwargs, tokens.len())?;
    let requests = options.requests(
        &model,
        None,
        (prompt.parameter, &tokens),
        None,
        DEFAULT_MAX_LENGTH,
    )?;
    let completions = completion::collect(completion::start(app, &model, requests).await?).await?;
    let echoed = if prompt.echo { prompt.text.as_str() } else { "" };
    let texts = completions
        .iter()
        .flat_map(|completion| [echoed, completion.text.as_str()]);
    Ok(texts.collect())
}

fn prompt(model: &LoadedModel, request: KaitoChatRequest) -> Result<ChatPrompt, ApiError> {
    // Upstream's texts, which clients may compare.
    let required = |detail: &str| ApiError {
        message: detail.to_owned(),
        ..ApiError::parameter("prompt", "")
    };
    match model.pipeline {
        Pipeline::TextGeneration => {
            let prompt = request.prompt.filter(|prompt| !prompt.is_empty());
            let prompt = prompt.ok_or_else(|| required("Text generation parameter prompt required"))?;
            Ok(ChatPrompt {
                text: format!("{}{prompt}", request.prefix.unwrap_or_default()),
                parameter: "prompt",
                add_special_tokens: true,
                echo: request.return_full_text.unwrap_or(true),
            })
        }
        Pipeline::Conversational => {
            let messages = request.messages.filter(|messages| !messages.is_empty());
            let tools = ToolFields::new(request.tools, request.tool_choice, None);
            let conversation = ConversationFields {
                messages: messages.ok_or_else(|| required("Conversational parameter messages required"))?,
                tools: tools.offered(),
                add_generation_prompt: request.add_generation_prompt,
                chat_template_kwargs: request.chat_template_kwargs,
            };
            Ok(ChatPrompt {
                text: validate::render(model, conversation)?,
                parameter: "messages",
                add_special_tokens: false,
                echo: false,
            })
        }
    }
}

/// Checks the options and translates their names. `prompt` is its number of tokens.
fn options(
    model: &LoadedModel,
    kwargs: GenerateKwargs,
    prompt: usize,
) -> Result<GenerationOptions, ApiError> {
    refuse_unsupported(&kwargs)?;
    let context = i64::try_from(model.context).unwrap_or(i64::MAX);
    let length = |name: &str, value, min| count(&format!("generate_kwargs.{name}"), value, min..=context);
    let max_length =
        length("max_length", kwargs.max_length, 1)?.unwrap_or(DEFAULT_MAX_LENGTH.min(model.context));
    let max_tokens = match length("max_new_tokens", kwargs.max_new_tokens, 1)? {
        Some(max) => max,
        None if max_length > prompt => max_length - prompt,
        None => {
            return Err(ApiError::parameter(
                "generate_kwargs.max_length",
                format!("must be more than the {prompt} tokens of the prompt, not {max_length}"),
            ));
        }
    };
    let min_length = length("min_length", kwargs.min_length, 0)?.unwrap_or(0);
    Ok(GenerationOptions {
        choices: count(
            "generate_kwargs.num_return_sequences",
            kwargs.num_return_sequences,
            1..=8,
        )?
        .unwrap_or(1),
        max_tokens: Some(max_tokens),
        min_tokens: min_length.saturating_sub(prompt),
        sampling: sampling(&kwargs)?,
        seed: kwargs.seed.map_or_else(|| fastrand::u64(..), i64::cast_unsigned),
        stop: strings("generate_kwargs.stop_strings", kwargs.stop_strings)?,
        end_tokens: match kwargs.eos_token_id {
            Some(EosTokenId::One(token)) => vec![token],
            Some(EosTokenId::Many(tokens)) => tokens.0,
            None => model.generation.eos_token_ids.clone(),
        },
        visible_special_tokens: Vec::new(),
        grammar: None,
        stream: false,
        include_usage: false,
    })
}

fn refuse_unsupported(kwargs: &GenerateKwargs) -> Result<(), ApiError> {
    let options = [
        (json!(1), "generate_kwargs.num_beams", &kwargs.num_beams),
        (
            json!(false),
            "generate_kwargs.early_stopping",
            &kwargs.early_stopping,
        ),
        (
            json!(1),
            "generate_kwargs.num_beam_groups",
            &kwargs.num_beam_groups,
        ),
        (
            Value::Null,
            "generate_kwargs.penalty_alpha",
            &kwargs.penalty_alpha,
        ),
    ];
    for (neutral, name, value) in options {
        refuse_unless(&neutral, name, value.as_ref())?;
    }
    number("generate_kwargs.typical_p", kwargs.typical_p, 1.0..=1.0)?;
    Ok(())
}

fn sampling(kwargs: &GenerateKwargs) -> Result<SamplingParams, ApiError> {
    let number = |name: &str, value, range, default: f32| {
        Ok::<_, ApiError>(number(&format!("generate_kwargs.{name}"), value, range)?.unwrap_or(default))
    };
    let greedy = !kwargs.do_sample.unwrap_or(true);
    Ok(SamplingParams {
        temperature: if greedy {
            0.0
        } else {
            number("temperature", kwargs.temperature, 0.0..=100.0, 1.0)?
        },
        top_k: count("generate_kwargs.top_k", kwargs.top_k, 0..=i64::from(u32::MAX))?
            .unwrap_or(DEFAULT_TOP_K),
        top_p: number("top_p", kwargs.top_p, 0.0..=1.0, 1.0)?,
        repetition_penalty: number("repetition_penalty", kwargs.repetition_penalty, 0.01..=10.0, 1.0)?,
        ..SamplingParams::default()
    })
}
