//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::app::{self, App};
use super::chat_response::{self, ChatResponse};
use super::completion::{self, Usage};
use super::context::RequestContext;
use super::error::ApiError;
use super::requests::{ChatCompletionRequest, parse};
use super::validate::{
    self, ConstraintFields, ConversationFields, ParameterConstraint, ToolFields, constraint_fields, count,
    generation_fields, refuse_unless, refuse_unsupported, unsupported_fields,
};
use crate::engine::Request;
use crate::load::LoadedModel;
use crate::reasoning::{self, ReasoningParser};

/// Default of `max_tokens`, as in the server of transformers.
const DEFAULT_MAX_TOKENS: usize = 1024;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let model = app.model()?;
    let request: ChatCompletionRequest = parse(&bytes, &context)?;
    let chat = validate(&app, &model, request, &context).await?;
    let receivers = completion::start(&app, &model, chat.requests).await?;
    if chat.stream {
        let chunks = chat_response::stream(chat.response, model, receivers, chat.usage, chat.include_usage);
        return Ok(completion::sse(chunks).into_response());
    }
    let completions = completion::collect(receivers).await?;
    Ok(Json(chat.response.json(&model, &completions, chat.usage)).into_response())
}

/// A validated request.
pub(super) struct Chat {
    pub(super) requests: Vec<Request>,
    pub(super) response: ChatResponse,
    pub(super) usage: Usage,
    stream: bool,
    include_usage: bool,
}

pub(super) async fn validate(
    app: &App,
    model: &Arc<LoadedModel>,
    mut request: ChatCompletionRequest,
    context: &RequestContext,
) -> Result<Chat, ApiError> {
    let choice = app::choose(model, request.model.as_deref())?;
    refuse_unless(&json!([]), "functions", request.functions.as_ref())?;
    refuse_unless(&Value::Null, "chat_template", request.chat_template.as_ref())?;
    refuse_unless(
        &json!(false),
        "continue_final_message",
        request.continue_final_message.as_ref(),
    )?;
    refuse_unless(&json!(false), "echo", request.echo.as_ref())?;
    refuse_unsupported(&unsupported_fields!(request))?;
    let log_probs = match request.logprobs.unwrap_or(false) {
        true => Some(count("top_logprobs", request.top_logprobs, 0..=20)?.unwrap_or(0)),
        false => None,
    };
    let tools = ToolFields::new(request.tools, request.tool_choice, request.parallel_tool_calls);
    let mut options = generation_fields!(request).validate(&model.generation)?;
    let constraint = constraint(model, &tools, constraint_fields!(request), context)?;
    let conversation = ConversationFields {
        messages: request.messages,
        tools: tools.offered(),
        add_generation_prompt: request.add_generation_prompt,
        chat_template_kwargs: request.chat_template_kwargs,
    };
    let prompt = validate::conversation(app, model, conversation).await?;
    options.scope = context.scope;
    let tool_calls = tools.parser(model);
    if let Some((format, _)) = &tool_calls {
        options.visible_special_tokens = validate::visible_markers(model, *format);
    }
    // A constraint applies to the whole completion, which then is no reasoning.
    let reasoning = (model.thinks && constraint.is_none()).then(|| {
        let marks = validate::hidden_ids(model, [reasoning::BEGIN, reasoning::END]);
        options.visible_special_tokens.extend(marks);
        ReasoningParser::new(prompt.begins_reasoning)
    });
    let prompt = prompt.tokens;
    if let Some(constraint) = &constraint {
        options.grammar = Some(validate::matcher(model, &app.metrics, constraint).await?);
    }
    let input = ("messages", prompt.as_slice());
    Ok(Chat {
        requests: options.requests(model, choice.adapter, input, log_probs, DEFAULT_MAX_TOKENS)?,
        response: ChatResponse {
            id: context.id.clone(),
            created: app::unix_time(),
            model: choice.name,
            tool_calls,
            reasoning,
        },
        usage: Usage::of_prompt(prompt.len()),
        stream: options.stream,
        include_usage: options.include_usage,
    })
}

/// Returns the constraint of the completion. Where a call is required, there is no text, so `response_format` has no effect.
fn constraint(
    model: &LoadedModel,
    tools: &ToolFields,
    fields: ConstraintFields,
    context: &RequestContext,
) -> Result<Option<ParameterConstraint>, ApiError> {
    let calls = tools.required(model, &mut |parameter| context.ignore(parameter))?;
    match (calls, fields.validate()?) {
        (Some(_), Some(text)) if !text.parameter.starts_with("response_format") => Err(ApiError::parameter(
            "tool_choice",
            format!(
                "requires a call, which cannot be combined with `{}`",
                text.parameter
            ),
        )),
        (Some(calls), _) => Ok(Some(calls)),
        (None, text) => Ok(text),
    }
}
