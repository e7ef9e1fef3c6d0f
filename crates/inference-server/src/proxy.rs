//! A proxy before another OpenAI-compatible server, which adds `/chat`, `/ui`, limits and KAITO's metrics to it.
//!
//! Requests for the paths of the public API pass unchanged, and responses are streamed back. All other paths of the engine stay
//! closed, since some of them change it.

mod chat;
mod engine;
mod metrics;
mod paths;
mod stall;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures::{Stream, StreamExt as _};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use crate::api::{self, ApiError, MAX_BODY_BYTES, MetricsFormat, ReportedParameters};
use crate::load::ServerPhase;
use crate::progress::InFlight;
pub(crate) use engine::Proxy;
use paths::{Forwarding, computes, forwarding};

/// Time for the engine to answer a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for the next part of a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum of a request's body, in bytes. Models that see get images in it, so it is larger than for texts.
const MAX_FORWARDED_BYTES: usize = 64 << 20;
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Headers of one connection, which the proxy does not forward.
const HOP_HEADERS: [HeaderName; 6] = [
    header::CONNECTION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// Returns the routes of the proxy.
pub(crate) fn router(proxy: Proxy) -> Router {
    let context = middleware::from_fn_with_state(ReportedParameters::default(), api::with_context);
    let limited = middleware::from_fn_with_state(proxy.clone(), limit);
    let chat = post(chat::handle)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(context);
    Router::new()
        .route("/chat", chat)
        .fallback(any(forward))
        .layer(limited)
        .route("/", get(api::root))
        .route("/ui", get(api::ui))
        .route("/live", get(api::live))
        .route("/health", get(health))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/metrics/prometheus", get(prometheus))
        .method_not_allowed_fallback(api::method_not_allowed)
        .with_state(proxy)
}

/// Bounds the requests in flight, counts them, and refuses them while the server stops.
async fn limit(
    State(proxy): State<Proxy>,
    request: axum::extract::Request,
    next: middleware::Next,
) -> Response {
    if matches!(proxy.phase.get(), ServerPhase::Draining) {
        return ApiError::unavailable("the server is stopping").into_response();
    }
    let Ok(permit) = Arc::clone(&proxy.in_flight).try_acquire_owned() else {
        proxy.metrics.rejected();
        return ApiError::too_many().into_response();
    };
    let response = next.run(request).await;
    proxy.metrics.answered(response.status());
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::from_stream(held(body, permit)))
}

/// Returns the stream of a body that holds the permit until it ends.
fn held(body: Body, permit: OwnedSemaphorePermit) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let stream = body.into_data_stream();
    futures::stream::unfold((stream, permit), |(mut stream, permit)| async move {
        let chunk = stream.next().await?;
        Some((chunk, (stream, permit)))
    })
}

async fn forward(
    State(proxy): State<Proxy>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    match forwarding(&method, uri.path()) {
        Forwarding::Allowed => {}
        Forwarding::OtherMethod => return Err(ApiError::method_not_allowed(&method, uri.path())),
        Forwarding::Unknown => return Err(ApiError::not_found(&method, uri.path())),
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length: Option<usize> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length| length > MAX_FORWARDED_BYTES) {
        return Err(ApiError::body_too_large(MAX_FORWARDED_BYTES));
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let body = (method != Method::GET).then(|| reqwest::Body::wrap_stream(bounded(body)));
    let in_flight = computes(&method, uri.path()).then(|| proxy.progress.begin());
    let response = send(&proxy, method, path, &headers, body).await?;
    Ok(match in_flight {
        Some(in_flight) if response.status().is_success() => observed(response, &proxy, in_flight),
        _ => response,
    })
}

/// Returns the response whose parts are signs of progress.
fn observed(response: Response, proxy: &Proxy, in_flight: InFlight) -> Response {
    let progress = proxy.progress.clone();
    let (parts, body) = response.into_parts();
    let chunks = body.into_data_stream().inspect(move |_| {
        // The request is in flight as long as its response.
        let _ = &in_flight;
        progress.made();
    });
    Response::from_parts(parts, Body::from_stream(chunks))
}

/// Returns the stream of a body that fails if it is too large or stalls, so that no client keeps the engine waiting.
fn bounded(body: Body) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, axum::Error>> + Send>>;
    let chunks: Chunks = Box::pin(body.into_data_stream());
    futures::stream::try_unfold((chunks, 0), |(mut chunks, received)| async move {
        let next = tokio::time::timeout(BODY_TIMEOUT, chunks.next()).await;
        let Some(chunk) = next.map_err(std::io::Error::other)? else {
            return Ok(None);
        };
        let chunk = chunk.map_err(std::io::Error::other)?;
        let received = received + chunk.len();
        if received > MAX_FORWARDED_BYTES {
            return Err(std::io::Error::other("the body is too large"));
        }
        Ok(Some((chunk, (chunks, received))))
    })
}

async fn send(
    proxy: &Proxy,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Option<reqwest::Body>,
) -> Result<Response, ApiError> {
    let mut request = proxy.client.request(method, format!("{}{path}", proxy.url));
    if let Some(body) = body {
        request = request.body(body);
    }
    let end_to_end = |(name, _): &(&HeaderName, &HeaderValue)| !HOP_HEADERS.contains(name);
    for (name, value) in headers.iter().filter(end_to_end) {
        request = request.header(name, value);
    }
    let received = request.send().await.map_err(|error| {
        if error.is_body() || error.is_request() && !error.is_connect() {
            tracing::debug!(%error, "failed to forward a request");
            return ApiError::body_incomplete();
        }
        proxy.unreachable(&error)
    })?;
    let mut response = Response::builder().status(received.status());
    for (name, value) in received.headers().iter().filter(end_to_end) {
        response = response.header(name, value);
    }
    response
        .body(Body::from_stream(received.bytes_stream()))
        .map_err(ApiError::internal)
}

async fn health(State(proxy): State<Proxy>) -> Response {
    if matches!(proxy.phase.get(), ServerPhase::Draining) {
        let body = json!({"detail": "Server is stopping", "status": "Draining"});
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    let response = proxy
        .client
        .get(format!("{}/health", proxy.url))
        .timeout(HEALTH_TIMEOUT)
        .send()
        .await;
    match response {
        Ok(response) if response.status().is_success() => match silence(&proxy).await {
            None => Json(json!({"status": "Healthy"})).into_response(),
            Some(silence) => api::stalled(silence),
        },
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(json!({"detail": "Model not initialized"})),
        )
            .into_response(),
    }
}

/// Returns the time without progress, if it is too long. Requests that are not streamed show none until they end, so the
/// engine's own counters are asked too.
async fn silence(proxy: &Proxy) -> Option<Duration> {
    proxy.progress.silence()?;
    if let Some(tokens) = engine_metrics(proxy).await.as_deref().and_then(stall::tokens) {
        proxy.progress.counted(tokens);
    }
    proxy.progress.stalled(proxy.stall)
}

async fn metrics(State(proxy): State<Proxy>, headers: HeaderMap) -> Response {
    match MetricsFormat::of(&headers) {
        MetricsFormat::Json => Json(telemetry::host::report().await).into_response(),
        // The engine's text has no end mark, so both together are the older format.
        MetricsFormat::Text | MetricsFormat::OpenMetrics => prometheus(State(proxy)).await,
    }
}

/// Answers with the metrics of both. Those of an engine that does not answer are left out.
async fn prometheus(State(proxy): State<Proxy>) -> Response {
    let in_flight = proxy.max_in_flight - proxy.in_flight.available_permits();
    proxy.metrics.in_flight(in_flight);
    let text = proxy.metrics.encode();
    let engine = engine_metrics(&proxy).await.unwrap_or_default();
    api::prometheus_response(text.map(|own| format!("{engine}{own}")), TEXT)
}

async fn engine_metrics(proxy: &Proxy) -> Option<String> {
    let request = proxy.client.get(format!("{}/metrics", proxy.url));
    let request = request
        .header(header::ACCEPT, "text/plain")
        .timeout(HEALTH_TIMEOUT);
    let response = request.send().await.ok()?.error_for_status().ok()?;
    let mut text = response.text().await.ok()?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Some(text)
}
