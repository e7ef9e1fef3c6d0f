//! `POST /tokenize` and `/detokenize`, in vLLM's form.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde_json::{Value, json};

use super::body::Body;
use super::error::ApiError;
use super::{App, chat};

pub(crate) async fn tokenize(State(app): State<App>, bytes: Bytes) -> Result<Json<Value>, ApiError> {
    let served = app.served()?;
    let body = Body::parse(&bytes)?;
    app.variant(&served, &body)?;
    let (text, special) = match body.text("prompt")? {
        Some(text) => (text.to_owned(), body.flag("add_special_tokens", true)?),
        None if body.get("messages").is_some() => (
            chat::prompt(&served, &body)?,
            body.flag("add_special_tokens", false)?,
        ),
        None => return Err(body.error("prompt", "is missing")),
    };
    let tokens = served
        .tokenizer
        .encode(&text, special)
        .map_err(ApiError::internal)?;
    let mut reply = json!({"count": tokens.len(), "max_model_len": served.context, "tokens": tokens});
    if body.flag("return_token_strs", false)? {
        reply["token_strs"] = tokens
            .iter()
            .map(|id| served.tokenizer.id_to_token(*id))
            .collect();
    }
    Ok(Json(reply))
}

pub(crate) async fn detokenize(State(app): State<App>, bytes: Bytes) -> Result<Json<Value>, ApiError> {
    let served = app.served()?;
    let body = Body::parse(&bytes)?;
    app.variant(&served, &body)?;
    let tokens = body
        .tokens("tokens")?
        .ok_or_else(|| body.error("tokens", "is missing"))?;
    if let Some(token) = tokens.iter().find(|token| **token as usize >= served.vocabulary) {
        return Err(body.error(
            "tokens",
            format!("holds {token}: the model has {}", served.vocabulary),
        ));
    }
    let text = served
        .tokenizer
        .decode(&tokens, false)
        .map_err(ApiError::internal)?;
    Ok(Json(json!({"prompt": text})))
}
