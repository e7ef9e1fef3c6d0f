//! Information about the server: `/`, `/health`, `/version`, `/v1/models`, `/metrics` and the page at `/ui`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::app::App;
use super::error::ApiError;
use crate::load::ServerPhase;

const PAGE: &str = include_str!("ui.html");
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn root() -> Json<Value> {
    Json(json!({"message": "Server is running"}))
}

/// Answers 200 while requests are served. All three kinds of probes use it.
pub(crate) async fn health(State(app): State<App>) -> Response {
    match app.phase.get() {
        ServerPhase::Ready(_) => Json(json!({"status": "Healthy"})).into_response(),
        ServerPhase::Downloading { received, total } => {
            let body = json!({
                "detail": "Model not initialized", "status": "Downloading",
                "progress": (received as f64 / total.max(1) as f64).min(1.0),
                "received_bytes": received, "total_bytes": total,
            });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
        ServerPhase::Loading(progress) => {
            let body = json!({"detail": "Model not initialized", "status": "Loading", "progress": progress});
            (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
        }
        ServerPhase::Draining => {
            let body = json!({"detail": "Server is stopping", "status": "Draining"});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

pub(crate) async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION")}))
}

pub(crate) async fn models(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    let model = app.model()?;
    let base = json!({
        "id": model.name, "object": "model", "created": app.started, "owned_by": "kaito",
        "max_model_len": model.context, "adapters": model.merged_adapters, "parent": null,
    });
    let adapter = |name: &String| {
        json!({
            "id": name, "object": "model", "created": app.started, "owned_by": "kaito",
            "max_model_len": model.context, "parent": model.name,
        })
    };
    let data: Vec<Value> = std::iter::once(base)
        .chain(model.adapters.iter().map(adapter))
        .collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

/// Answers with KAITO's JSON, or with the Prometheus format if `Accept` asks for text.
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    if accept.contains("openmetrics") || accept.contains("text/plain") {
        return prometheus(State(app)).await;
    }
    Json(telemetry::host::report().await).into_response()
}

pub(crate) async fn prometheus(State(app): State<App>) -> Response {
    match app.metrics.registry.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => ApiError::internal(error).into_detail(),
    }
}

pub(crate) async fn ui() -> Html<&'static str> {
    Html(PAGE)
}
