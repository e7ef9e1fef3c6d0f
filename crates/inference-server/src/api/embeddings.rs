//! `POST /v1/embeddings`: the mean of a text's last hidden states, with length 1.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::app::{self, App};
use super::completion;
use super::context::RequestContext;
use super::error::ApiError;
use super::requests::{EmbeddingRequest, EncodingFormat, parse};
use super::validate::{self, refuse_unless};

/// Maximum of inputs of a request, as in OpenAI's API.
const MAX_INPUTS: usize = 2048;
/// Inputs of one request that are computed at the same time, so that other requests get their turn.
const CONCURRENCY: usize = 8;

pub(crate) async fn handle(
    State(app): State<App>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Result<Json<Value>, ApiError> {
    let model = app.model()?;
    let request: EmbeddingRequest = parse(&bytes, &context)?;
    let choice = app::choose(&model, request.model.as_deref())?;
    refuse_unless(&Value::Null, "dimensions", request.dimensions.as_ref())?;
    let inputs = validate::encode(&app, &model, "input", request.input, MAX_INPUTS).await?;
    let tokens: usize = inputs.iter().map(Vec::len).sum();
    let requests = inputs
        .into_iter()
        .map(|input| validate::embedding(&model, choice.adapter, "input", input, context.scope))
        .collect::<Result<Vec<_>, _>>()?;
    let (app, model) = (&app, &*model);
    let embeddings: Vec<Vec<f32>> = futures::stream::iter(requests)
        .map(|request| async move {
            let receivers = completion::start(app, model, vec![request]).await?;
            let completions = completion::collect(receivers).await?;
            let embedding = completions
                .into_iter()
                .next()
                .and_then(|completion| completion.finish.embedding);
            embedding.ok_or_else(|| ApiError::internal("failed to compute an embedding"))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let format = request.encoding_format.unwrap_or(EncodingFormat::Float);
    let data = embeddings.iter().enumerate().map(
        |(index, embedding)| json!({"object": "embedding", "index": index, "embedding": encode(embedding, format)}),
    );
    Ok(Json(json!({
        "object": "list", "data": data.collect::<Vec<_>>(), "model": choice.name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

fn encode(embedding: &[f32], format: EncodingFormat) -> Value {
    match format {
        EncodingFormat::Float => Value::from(embedding),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = embedding.iter().copied().flat_map(f32::to_le_bytes).collect();
            STANDARD.encode(bytes).into()
        }
    }
}
