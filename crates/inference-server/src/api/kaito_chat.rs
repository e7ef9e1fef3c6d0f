//! `POST /chat`, the first API of KAITO.
//!
//! Three things differ from the original on purpose. A plain prompt to a model with a chat template is a turn of the user:
//! the bare completion of a question is rarely an answer. `return_full_text` asks for the bare one. The result of a conversation is the
//! text of the completion, not Python's representation of a dictionary. Options that would change the completion and are not
//! supported are refused.

use std::sync::Arc;

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
use super::requests::{GenerateKwargs, KaitoChatRequest, Message, PromptList, parse};
use super::validate::{
    self, ConversationFields, GenerationOptions, ToolFields, count, number, refuse_unless, strings,
};
use crate::engine::CacheScope;
use crate::load::LoadedModel;
use crate::reasoning::{self, ReasoningParser};
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

/// Prompt for the model.
struct ChatPrompt {
    tokens: Vec<u32>,
    /// Parameter that it comes from.
    parameter: &'static str,
    /// Text to repeat before the completion.
    echoed: String,
    /// True for a turn of a chat, whose template should not count against the default length.
    is_turn: bool,
    reasoning: Option<ReasoningParser>,
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
    let prompt = prompt(app, &model, request).await?;
    let mut options = options(&model, kwargs, &prompt)?;
    options.scope = context.scope;
    if prompt.reasoning.is_some() {
        options.visible_special_tokens = validate::hidden_ids(&model, [reasoning::BEGIN, reasoning::END]);
    }
    let input = (prompt.parameter, prompt.tokens.as_slice());
    let requests = options.requests(&model, None, input, None, DEFAULT_MAX_LENGTH)?;
    let completions = completion::collect(completion::start(app, &model, requests).await?).await?;
    let texts = completions.into_iter().map(|completion| {
        let answer = answer(prompt.reasoning.clone(), completion.text);
        format!("{}{answer}", prompt.echoed)
    });
    Ok(texts.collect())
}

/// Returns the text without reasoning, for which this API has no field.
fn answer(parser: Option<ReasoningParser>, text: String) -> String {
    let Some(mut parser) = parser else {
        return text;
    };
    let mut parts = parser.push(&text);
    parts.extend(parser.finish());
    let answers = parts.into_iter().filter_map(|part| match part {
        reasoning::Text::Answer(text) => Some(text),
        reasoning::Text::Reasoning(_) => None,
    });
    answers.collect()
}

/// Returns the prompt. A plain one is a turn of the user if the model has a chat template, unless the full text is wanted.
async fn prompt(
    app: &App,
    model: &Arc<LoadedModel>,
    request: KaitoChatRequest,
) -> Result<ChatPrompt, ApiError> {
    let text = request.prompt.filter(|prompt| !prompt.is_empty());
    let messages = request.messages.filter(|messages| !messages.is_empty());
    let prefix = request.prefix.unwrap_or_default();
    let (messages, parameter) = match (model.pipeline, text, messages) {
        (Pipeline::TextGeneration, Some(text), _) => {
            let text = format!("{prefix}{text}");
            let is_turn = model.template.is_some() && request.return_full_text != Some(true);
            if !is_turn {
                let tokens =
                    validate::encode(app, model, "prompt", PromptList::Text(text.clone()), 1).await?;
                let echo = request.return_full_text.unwrap_or(true);
                return Ok(ChatPrompt {
                    tokens: tokens.into_iter().next().unwrap_or_default(),
                    parameter: "prompt",
                    echoed: if echo { text } else { String::new() },
                    is_turn,
                    reasoning: None,
                });
            }
            (vec![Message::of_user(text)], "prompt")
        }
        (_, _, Some(messages)) => (messages, "messages"),
        // Upstream's texts, which clients may compare.
        (Pipeline::TextGeneration, None, None) => {
            return Err(required("prompt", "Text generation parameter prompt required"));
        }
        (Pipeline::Conversational, _, None) => {
            return Err(required("messages", "Conversational parameter messages required"));
        }
    };
    let tools = ToolFields::new(request.tools, request.tool_choice, None);
    let conversation = ConversationFields {
        messages,
        tools: tools.offered(),
        add_generation_prompt: request.add_generation_prompt,
        chat_template_kwargs: request.chat_template_kwargs,
    };
    let conversation = validate::conversation(app, model, conversation).await?;
    Ok(ChatPrompt {
        tokens: conversation.tokens,
        parameter,
        echoed: String::new(),
        is_turn: true,
        reasoning: model
            .thinks
            .then(|| ReasoningParser::new(conversation.begins_reasoning)),
    })
}

fn required(parameter: &str, detail: &str) -> ApiError {
    ApiError {
        message: detail.to_owned(),
        ..ApiError::parameter(parameter, "")
    }
}

/// Checks the options and translates their names.
fn options(
    model: &LoadedModel,
    kwargs: GenerateKwargs,
    prompt: &ChatPrompt,
) -> Result<GenerationOptions, ApiError> {
    refuse_unsupported(&kwargs)?;
    let is_turn = prompt.is_turn;
    let prompt = prompt.tokens.len();
    let context = i64::try_from(model.context).unwrap_or(i64::MAX);
    let length = |name: &str, value, min| count(&format!("generate_kwargs.{name}"), value, min..=context);
    let max_length =
        length("max_length", kwargs.max_length, 1)?.unwrap_or(DEFAULT_MAX_LENGTH.min(model.context));
    let max_tokens = match length("max_new_tokens", kwargs.max_new_tokens, 1)? {
        Some(max) => max,
        // The user does not know how long the template's part is, so it does not count.
        None if is_turn => max_length.min(model.context.saturating_sub(prompt).max(1)),
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
            Some(tokens) => tokens.into_list(),
            None => model.generation.eos_token_ids.clone(),
        },
        visible_special_tokens: Vec::new(),
        scope: CacheScope::default(),
        prompt_log_probs: None,
        grammar: None,
        stream: false,
        include_usage: false,
    })
}

/// Refuses options that would change the completion and are not supported.
pub(crate) fn refuse_unsupported(kwargs: &GenerateKwargs) -> Result<(), ApiError> {
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
        (
            json!(0),
            "generate_kwargs.no_repeat_ngram_size",
            &kwargs.no_repeat_ngram_size,
        ),
        (
            Value::Null,
            "generate_kwargs.bad_words_ids",
            &kwargs.bad_words_ids,
        ),
        (
            Value::Null,
            "generate_kwargs.force_words_ids",
            &kwargs.force_words_ids,
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
