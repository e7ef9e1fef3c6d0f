//! `POST /v1/responses`: OpenAI's newer API, without a memory of earlier responses.
//!
//! A request becomes a chat completion, whose parts become the items of the response.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::app::{self, App};
use super::chat::{self, Chat};
use super::completion;
use super::context::RequestContext;
use super::error::ApiError;
use super::requests::{InputItem, ResponseInput, ResponseRequest, ResponseTool, parse, parse_value};
use super::responses_output::{self, ResponseBase};
use super::validate::refuse_unless;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Result<Response, ApiError> {
    let model = app.model()?;
    let request: ResponseRequest = parse(&bytes, &context)?;
    refuse_stored(&request)?;
    let stream = request.stream.unwrap_or(false);
    let (base, body) = translate(request, &context)?;
    let ignored = &mut |parameter: &str| context.ignore(parameter);
    let body = parse_value(body, "", ignored).map_err(respelled)?;
    let chat = chat::validate(&app, &model, body, &context)
        .await
        .map_err(respelled)?;
    let Chat {
        requests,
        response,
        usage,
        ..
    } = chat;
    let receivers = completion::start(&app, &model, requests)
        .await
        .map_err(respelled)?;
    let base = base.of_model(&response.model);
    if stream {
        let events = responses_output::stream(base, &response, receivers, usage);
        return Ok(responses_output::sse(events).into_response());
    }
    let completions = completion::collect(receivers).await?;
    let completion = completions.into_iter().next();
    let completion = completion.ok_or_else(|| ApiError::internal("failed to compute a completion"))?;
    Ok(Json(responses_output::json(base, &response, &completion, usage)).into_response())
}

/// Names of a chat completion's parameters, and what they are called here.
const SPELLINGS: [(&str, &str); 4] = [
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("max_completion_tokens", "max_output_tokens"),
    ("messages", "input"),
];

/// Returns an error about a chat completion in the words of this API.
fn respelled(mut error: ApiError) -> ApiError {
    let Some(parameter) = error.param.clone() else {
        return error;
    };
    let known = SPELLINGS.iter().find(|(chat, _)| parameter.starts_with(chat));
    if let Some((chat, ours)) = known {
        let spelled = parameter.replacen(chat, ours, 1);
        error.message = error
            .message
            .replace(&format!("`{parameter}`"), &format!("`{spelled}`"));
        error.param = Some(spelled);
    }
    error
}

/// Refuses parameters that need a memory of earlier responses.
fn refuse_stored(request: &ResponseRequest) -> Result<(), ApiError> {
    let neutral = [
        (Value::Null, "previous_response_id", &request.previous_response_id),
        (Value::Null, "conversation", &request.conversation),
        (json!(false), "background", &request.background),
        (Value::Null, "prompt", &request.prompt),
        (json!("disabled"), "truncation", &request.truncation),
        (json!(0), "top_logprobs", &request.top_logprobs),
    ];
    for (neutral, name, value) in neutral {
        refuse_unless(&neutral, name, value.as_ref())?;
    }
    Ok(())
}

/// Returns the fields of the response that repeat the request, and the body of the chat completion.
fn translate(request: ResponseRequest, context: &RequestContext) -> Result<(ResponseBase, Value), ApiError> {
    let mut messages = Vec::new();
    if let Some(instructions) = &request.instructions {
        messages.push(json!({"role": "system", "content": instructions}));
    }
    match request.input {
        ResponseInput::Text(text) => messages.push(json!({"role": "user", "content": text})),
        ResponseInput::Items(items) => {
            for (index, item) in items.into_iter().enumerate() {
                messages.extend(message(index, item)?);
            }
        }
    }
    let mut body = json!({"messages": messages});
    let tools = request.tools.unwrap_or_default();
    let tools = tools
        .iter()
        .enumerate()
        .map(|(index, tool)| function(index, tool));
    let tools: Vec<Value> = tools.collect::<Result<_, _>>()?;
    let format = request.text.and_then(|text| text.format);
    let choice = request.tool_choice.map(|choice| choice.json());
    let fields = [
        ("model", request.model.map(Value::from)),
        (
            "max_completion_tokens",
            request.max_output_tokens.map(Value::from),
        ),
        ("temperature", request.temperature.map(Value::from)),
        ("top_p", request.top_p.map(Value::from)),
        ("tools", (!tools.is_empty()).then(|| tools.into())),
        ("tool_choice", choice.clone()),
        (
            "parallel_tool_calls",
            request.parallel_tool_calls.map(Value::from),
        ),
        ("response_format", format.clone().map(response_format)),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    let base = json!({
        "id": format!("resp_{}", context.id), "object": "response", "created_at": app::unix_time(),
        "status": "in_progress", "error": null, "incomplete_details": null,
        "instructions": request.instructions, "max_output_tokens": request.max_output_tokens, "model": null,
        "output": [], "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "previous_response_id": null, "store": false, "temperature": request.temperature, "top_p": request.top_p,
        "text": {"format": format.map_or_else(|| json!({"type": "text"}), Value::Object)},
        "tool_choice": choice.unwrap_or_else(|| "auto".into()), "tools": body["tools"].clone().as_array().cloned().unwrap_or_default(),
        "truncation": "disabled", "usage": null, "metadata": request.metadata.unwrap_or_default(),
    });
    Ok((ResponseBase::new(base, &context.id), body))
}

/// Returns the message of an item; none for the reasoning of an earlier turn, which templates do not repeat.
fn message(index: usize, item: InputItem) -> Result<Option<Value>, ApiError> {
    let missing = |field: &str| ApiError::parameter(format!("input[{index}].{field}"), "must be given");
    let text = |content: Option<super::requests::InputContent>| content.map(|content| content.into_text());
    match item.kind.as_deref().unwrap_or("message") {
        "message" => {
            let role = item.role.ok_or_else(|| missing("role"))?;
            let content = text(item.content).ok_or_else(|| missing("content"))?;
            Ok(Some(json!({"role": role, "content": content})))
        }
        "function_call" => {
            let name = item.name.ok_or_else(|| missing("name"))?;
            let function = json!({"name": name, "arguments": item.arguments.unwrap_or_default()});
            let call = json!({"id": item.call_id, "type": "function", "function": function});
            Ok(Some(
                json!({"role": "assistant", "content": "", "tool_calls": [call]}),
            ))
        }
        "function_call_output" => {
            let output = text(item.output).ok_or_else(|| missing("output"))?;
            Ok(Some(
                json!({"role": "tool", "tool_call_id": item.call_id, "content": output}),
            ))
        }
        "reasoning" => Ok(None),
        other => Err(ApiError::parameter(
            format!("input[{index}].type"),
            format!("must be message, function_call, function_call_output or reasoning, not `{other}`"),
        )),
    }
}

fn function(index: usize, tool: &ResponseTool) -> Result<Value, ApiError> {
    if tool.kind != "function" {
        return Err(ApiError::parameter(
            format!("tools[{index}].type"),
            format!(
                "must be function: the server has no tools of its own, not `{}`",
                tool.kind
            ),
        ));
    }
    Ok(json!({"type": "function", "function": tool.function}))
}

/// Returns the format in the spelling of a chat completion.
fn response_format(mut format: Map<String, Value>) -> Value {
    if format.get("type").is_some_and(|kind| kind == "json_schema") {
        let kind = format.remove("type");
        return json!({"type": kind, "json_schema": format});
    }
    Value::Object(format)
}
