//! `POST /v1/embeddings`: the mean of a text's last hidden states, with length 1.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::body::Body;
use super::error::ApiError;
use super::{App, completion, completions_endpoint, options};

/// Most texts of a request: as OpenAI has it.
const INPUTS: usize = 2048;
/// Texts of one request that are computed at a time: the others leave room for other requests.
const TOGETHER: usize = 8;

pub(crate) async fn handle(State(app): State<App>, bytes: Bytes) -> Result<Json<Value>, ApiError> {
    let served = app.served()?;
    let body = Body::parse(&bytes)?;
    let variant = app.variant(&served, &body)?;
    body.refuse(&[("dimensions", Value::Null)])?;
    let packed = match body.text("encoding_format")? {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => return Err(body.error("encoding_format", "is neither `float` nor `base64`")),
    };
    let inputs = completions_endpoint::prompts(&served, &body, "input", INPUTS)?;
    let tokens: usize = inputs.iter().map(Vec::len).sum();
    let requests = inputs
        .into_iter()
        .map(|input| options::embedding(&served, variant.adapter, "input", input))
        .collect::<Result<Vec<_>, _>>()?;
    let (app, served) = (&app, &*served);
    let vectors: Vec<Vec<f32>> = futures::stream::iter(requests)
        .map(|request| async move {
            let receivers = completion::start(app, served, vec![request]).await?;
            let answers = completion::collect(receivers).await?;
            let vector = answers.into_iter().next().and_then(|answer| answer.end.vector);
            vector.ok_or_else(|| ApiError::internal("the text became no vector"))
        })
        .buffered(TOGETHER)
        .try_collect()
        .await?;
    let data = vectors.iter().enumerate().map(|(index, vector)| {
        let embedding = if packed {
            let bytes: Vec<u8> = vector.iter().copied().flat_map(f32::to_le_bytes).collect();
            STANDARD.encode(bytes).into()
        } else {
            Value::from(vector.as_slice())
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    Ok(Json(json!({
        "object": "list", "data": data.collect::<Vec<_>>(), "model": variant.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}
