//! Information about the server: `/`, `/health`, `/live`, `/version`, `/v1/models`, `/metrics` and the page at `/ui`.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::app::{self, App};
use super::error::ApiError;
use crate::load::{LoadedModel, ServerPhase};

const PAGE: &str = include_str!("ui.html");
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn root() -> Json<Value> {
    Json(json!({"message": "Server is running"}))
}

/// Answers 200 as long as the program runs.
pub(crate) async fn live() -> Json<Value> {
    Json(json!({"status": "Alive"}))
}

/// Reports an engine that hangs, so that a probe restarts it.
pub(crate) fn stalled(silence: Duration) -> Response {
    let seconds = silence.as_secs();
    tracing::error!(seconds, "engine generates no token while requests are in flight");
    let detail = format!("the engine has generated no token for {seconds} s while requests are in flight");
    let body = json!({"detail": detail, "status": "Stalled"});
    (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
}

/// Answers 200 while requests are served. All three kinds of probes use it.
pub(crate) async fn health(State(app): State<App>) -> Response {
    match app.phase.get() {
        ServerPhase::Ready(model) => match model.engine.progress().stalled(app.stall) {
            None => Json(json!({"status": "Healthy"})).into_response(),
            Some(silence) => stalled(silence),
        },
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
    let data = descriptions(&app, &model);
    Ok(Json(json!({"object": "list", "data": data})))
}

/// Describes one model or adapter. A name may contain slashes.
pub(crate) async fn model(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let model = app.model()?;
    let choice = app::choose(&model, Some(&id))?;
    let known = descriptions(&app, &model);
    let description = known
        .into_iter()
        .find(|description| description["id"] == choice.name);
    description
        .map(Json)
        .ok_or_else(|| ApiError::internal("failed to describe the model"))
}

fn descriptions(app: &App, model: &LoadedModel) -> Vec<Value> {
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
    std::iter::once(base)
        .chain(model.adapters.iter().map(adapter))
        .collect()
}

/// Format in which a client wants the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricsFormat {
    /// The Prometheus text format, which scrapers that ask for nothing expect.
    Text,
    OpenMetrics,
    /// Upstream KAITO's format.
    Json,
}

impl MetricsFormat {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok());
        let accept = accept.unwrap_or_default();
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else if accept.contains("application/json") && !accept.contains("text/plain") {
            Self::Json
        } else {
            Self::Text
        }
    }
}

pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    match MetricsFormat::of(&headers) {
        MetricsFormat::Json => Json(telemetry::host::report().await).into_response(),
        MetricsFormat::OpenMetrics => prometheus_response(app.metrics.registry.encode(), OPENMETRICS),
        MetricsFormat::Text => prometheus(State(app)).await,
    }
}

pub(crate) async fn prometheus(State(app): State<App>) -> Response {
    prometheus_response(app.metrics.registry.encode_text(), TEXT)
}

/// Returns a response with encoded metrics.
pub(crate) fn prometheus_response(text: anyhow::Result<String>, content_type: &'static str) -> Response {
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(error) => ApiError::internal(error).into_detail(),
    }
}

/// The page. It runs its own script only, and no other page may show it in a frame.
pub(crate) async fn ui() -> Response {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = |tag: &str| {
            let body = PAGE.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
            let body = body.split_once(&format!("</{tag}>")).map_or("", |(body, _)| body);
            format!("'sha256-{}'", STANDARD.encode(Sha256::digest(body)))
        };
        format!(
            "default-src 'none'; connect-src 'self'; script-src {}; style-src {}; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
            hash("script"),
            hash("style")
        )
    });
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, Html(PAGE)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn metrics_are_text_unless_json_is_asked_for() {
        let format = |accept: &'static str| {
            let value = HeaderValue::from_static(accept);
            MetricsFormat::of(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        assert_eq!(MetricsFormat::of(&HeaderMap::new()), MetricsFormat::Text);
        for text in ["", "*/*", "text/plain;version=0.0.4,*/*;q=0.1", "text/html,*/*"] {
            assert_eq!(format(text), MetricsFormat::Text, "{text}");
        }
        assert_eq!(format("application/json"), MetricsFormat::Json);
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        assert_eq!(format(prometheus), MetricsFormat::OpenMetrics);
    }
}
