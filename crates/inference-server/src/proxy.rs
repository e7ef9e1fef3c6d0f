//! Standing in proxy of another OpenAI-compatible server, which then also has `/chat`, `/ui` and metrics in our form.
//!
//! Requests go through as they are and answers are streamed back; nothing is kept.

use std::time::Duration;

use anyhow::Context as _;
use axum::Json;
use axum::Router;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde_json::{Value, json};

use crate::api::{self, ApiError, Body};
use crate::args::Pipeline;

/// How long the other server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to say how it is.
const HEALTH: Duration = Duration::from_secs(3);
/// Headers that belong to one connection, or that the client of the next one makes itself.
const OWN: [HeaderName; 6] = [
    header::CONNECTION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];

/// The other server.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    client: reqwest::Client,
    url: String,
    pipeline: Pipeline,
}

impl Proxy {
    pub(crate) fn new(url: &str, pipeline: Pipeline) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        anyhow::ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "--engine-url {url} does not begin with http:// or https://"
        );
        // Answers take as long as they take.
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .build()
            .context("no HTTP client")?;
        Ok(Self {
            client,
            url,
            pipeline,
        })
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/", get(api::root))
            .route("/ui", get(api::ui))
            .route("/health", get(health))
            .route("/healthz", get(health))
            .route("/metrics", get(metrics))
            .route("/metrics/prometheus", get(prometheus))
            .route("/chat", post(chat))
            .fallback(any(forward))
            .layer(api::body_limit())
            .with_state(self)
    }

    fn unreachable(&self, error: &reqwest::Error) -> ApiError {
        tracing::warn!(url = %self.url, error = %error, "the engine does not answer");
        ApiError::unavailable("the engine behind this server does not answer")
    }

    async fn ask(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let reply: Value = response.json().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(reply);
        }
        let message = reply
            .pointer("/error/message")
            .or_else(|| reply.get("message"))
            .and_then(Value::as_str);
        Err(ApiError {
            status,
            message: message.unwrap_or("the engine refused the request").to_owned(),
            ..ApiError::internal("")
        })
    }
}

async fn forward(
    State(proxy): State<Proxy>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    send(&proxy, method, path, &headers, body).await
}

async fn send(
    proxy: &Proxy,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let mut request = proxy
        .client
        .request(method, format!("{}{path}", proxy.url))
        .body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !OWN.contains(name)) {
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(|error| proxy.unreachable(&error))?;
    let mut reply = Response::builder().status(response.status());
    for (name, value) in response.headers().iter().filter(|(name, _)| !OWN.contains(name)) {
        reply = reply.header(name, value);
    }
    reply
        .body(HttpBody::from_stream(response.bytes_stream()))
        .map_err(ApiError::internal)
}

async fn health(State(proxy): State<Proxy>) -> Response {
    let asked = proxy
        .client
        .get(format!("{}/health", proxy.url))
        .timeout(HEALTH)
        .send()
        .await;
    match asked {
        Ok(response) if response.status().is_success() => Json(json!({"status": "Healthy"})).into_response(),
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(json!({"detail": "Model not initialized"})),
        )
            .into_response(),
    }
}

async fn metrics(State(proxy): State<Proxy>, headers: HeaderMap) -> Result<Response, ApiError> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    if accept.contains("openmetrics") || accept.contains("text/plain") {
        return prometheus(State(proxy)).await;
    }
    Ok(Json(telemetry::host::report().await).into_response())
}

async fn prometheus(State(proxy): State<Proxy>) -> Result<Response, ApiError> {
    let text = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/plain"))]);
    send(&proxy, Method::GET, "/metrics", &text, Bytes::new()).await
}

/// `/chat` in terms of the other server's API.
async fn chat(State(proxy): State<Proxy>, bytes: Bytes) -> Response {
    match translated(&proxy, &bytes).await {
        Ok(text) => Json(json!({"Result": text})).into_response(),
        Err(error) => error.into_detail(),
    }
}

async fn translated(proxy: &Proxy, bytes: &[u8]) -> Result<String, ApiError> {
    let body = Body::parse(bytes)?;
    let mut request = options(&body.inner("generate_kwargs")?)?;
    let (path, name, text_at) = match proxy.pipeline {
        Pipeline::TextGeneration => ("/v1/completions", "prompt", "/choices/0/text"),
        Pipeline::Conversational => ("/v1/chat/completions", "messages", "/choices/0/message/content"),
    };
    let asked = body.get(name).ok_or_else(|| body.error(name, "is missing"))?;
    request[name] = asked.clone();
    let reply = proxy.ask(path, &request).await?;
    let text = reply.pointer(text_at).and_then(Value::as_str).unwrap_or_default();
    let full = proxy.pipeline == Pipeline::TextGeneration && body.flag("return_full_text", true)?;
    let head = if full {
        asked.as_str().unwrap_or_default()
    } else {
        ""
    };
    Ok(format!("{head}{text}"))
}

/// Lengths of `/chat` count the prompt, which only the engine can; the answer is bounded by the same number instead.
fn options(kwargs: &Body) -> Result<Value, ApiError> {
    let most = match kwargs.count("max_new_tokens", 1..=1 << 24)? {
        Some(most) => most,
        None => kwargs.count("max_length", 1..=1 << 24)?.unwrap_or(200),
    };
    let sampled = kwargs.flag("do_sample", true)?;
    Ok(json!({
        "max_tokens": most,
        "temperature": if sampled { kwargs.number("temperature", 0.0..=2.0)?.unwrap_or(1.0) } else { 0.0 },
        "top_p": kwargs.number("top_p", 0.0..=1.0)?.unwrap_or(1.0),
        "top_k": kwargs.whole("top_k", 0..=1 << 24)?.unwrap_or(10),
    }))
}
