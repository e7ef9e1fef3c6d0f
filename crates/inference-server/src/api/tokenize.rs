//! `POST /tokenize` and `POST /detokenize`, as in vLLM.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use serde_json::{Value, json};

use super::app::{self, App};
use super::context::RequestContext;
use super::error::ApiError;
use super::requests::{DetokenizeRequest, TokenizeRequest, parse};
use super::validate::{self, ConversationFields, ToolFields, refuse_unless};

pub(crate) async fn tokenize(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let model = app.model()?;
    let request: TokenizeRequest = parse(&bytes, &context)?;
    app::choose(&model, request.model.as_deref())?;
    let special = request.add_special_tokens;
    let tokens = match (request.prompt, request.messages) {
        (Some(text), _) => {
            let model = Arc::clone(&model);
            let work = move || {
                let tokens = model.tokenizer.encode(&text, special.unwrap_or(true));
                tokens.map_err(ApiError::internal)
            };
            app.admission.encode(work).await?
        }
        (None, Some(messages)) => {
            let tools = ToolFields::new(request.tools, request.tool_choice, None);
            let conversation = ConversationFields {
                messages,
                tools: tools.offered(),
                add_generation_prompt: request.add_generation_prompt,
                chat_template_kwargs: request.chat_template_kwargs,
            };
            refuse_unless(
                &json!(false),
                "add_special_tokens",
                special.map(Value::from).as_ref(),
            )?;
            validate::conversation(&app, &model, conversation).await?.tokens
        }
        (None, None) => return Err(ApiError::parameter("prompt", "must be given, or `messages`")),
    };
    let mut response = json!({"count": tokens.len(), "max_model_len": model.context, "tokens": tokens});
    if request.return_token_strs.unwrap_or(false) {
        response["token_strs"] = tokens.iter().map(|id| model.tokenizer.id_to_token(*id)).collect();
    }
    Ok(Json(response))
}

pub(crate) async fn detokenize(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let model = app.model()?;
    let request: DetokenizeRequest = parse(&bytes, &context)?;
    app::choose(&model, request.model.as_deref())?;
    let tokens = request.tokens.0;
    if !tokens.is_empty() {
        validate::check_tokens(&model, "tokens", &tokens)?;
    }
    let text = model
        .tokenizer
        .decode(&tokens, false)
        .map_err(ApiError::internal)?;
    Ok(Json(json!({"prompt": text})))
}
