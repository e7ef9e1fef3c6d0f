//! A proxy before another OpenAI-compatible server, which adds `/chat`, `/ui` and KAITO's metrics to it.
//!
//! Requests pass unchanged and responses are streamed back.

use std::time::Duration;

use anyhow::Context as _;
use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, OriginalUri, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{self, ApiError, GenerateKwargs, ReportedParameters, RequestContext, count, number, parse};
use crate::settings::{Pipeline, ProxySettings};

/// Time for the engine to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the engine to answer a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// Headers of one connection, which the proxy does not forward.
const HOP_HEADERS: [HeaderName; 6] = [
    header::CONNECTION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];
/// Maximum for numbers of tokens; the context of the model is the real bound.
const MAX_TOKENS: i64 = 1 << 24;
/// Default of `max_length`.
const DEFAULT_MAX_LENGTH: usize = 200;

/// The proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    client: reqwest::Client,
    url: String,
    pipeline: Pipeline,
}

impl Proxy {
    pub(crate) fn new(settings: &ProxySettings) -> anyhow::Result<Self> {
        let url = settings.url.trim_end_matches('/').to_owned();
        anyhow::ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "--engine-url must begin with http:// or https://, not {url}"
        );
        // There is no timeout for responses, which take as long as the model needs.
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .context("failed to create an HTTP client")?;
        Ok(Self {
            client,
            url,
            pipeline: settings.pipeline,
        })
    }

    pub(crate) fn router(self) -> Router {
        let context = middleware::from_fn_with_state(ReportedParameters::default(), api::with_context);
        Router::new()
            .route("/", get(api::root))
            .route("/ui", get(api::ui))
            .route("/health", get(health))
            .route("/healthz", get(health))
            .route("/metrics", get(metrics))
            .route("/metrics/prometheus", get(prometheus))
            .route("/chat", post(chat).layer(context))
            .fallback(any(forward))
            .layer(api::body_limit())
            .with_state(self)
    }

    fn unreachable(&self, error: &reqwest::Error) -> ApiError {
        tracing::warn!(url = %self.url, error = %error, "failed to reach the engine");
        ApiError::unavailable("the engine behind this server does not answer")
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let body: Value = response.json().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        let message = body
            .pointer("/error/message")
            .or_else(|| body.get("message"))
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
    let end_to_end = |(name, _): &(&HeaderName, &HeaderValue)| !HOP_HEADERS.contains(name);
    for (name, value) in headers.iter().filter(end_to_end) {
        request = request.header(name, value);
    }
    let received = request.send().await.map_err(|error| proxy.unreachable(&error))?;
    let mut response = Response::builder().status(received.status());
    for (name, value) in received.headers().iter().filter(end_to_end) {
        response = response.header(name, value);
    }
    response
        .body(Body::from_stream(received.bytes_stream()))
        .map_err(ApiError::internal)
}

async fn health(State(proxy): State<Proxy>) -> Response {
    let response = proxy
        .client
        .get(format!("{}/health", proxy.url))
        .timeout(HEALTH_TIMEOUT)
        .send()
        .await;
    match response {
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

/// The body of `POST /chat`. The engine checks prompt and messages, so they pass as sent.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct ProxyChatRequest {
    prompt: Option<Value>,
    messages: Option<Value>,
    /// Default: true.
    return_full_text: Option<bool>,
    generate_kwargs: Option<GenerateKwargs>,
}

/// Answers `/chat` with the engine's OpenAI API.
async fn chat(
    State(proxy): State<Proxy>,
    Extension(context): Extension<RequestContext>,
    bytes: Bytes,
) -> Response {
    match translate(&proxy, &context, &bytes).await {
        Ok(text) => Json(json!({"Result": text})).into_response(),
        Err(error) => error.into_detail(),
    }
}

async fn translate(proxy: &Proxy, context: &RequestContext, bytes: &[u8]) -> Result<String, ApiError> {
    let request: ProxyChatRequest = parse(bytes, context)?;
    let mut body = options(&request.generate_kwargs.unwrap_or_default())?;
    let (path, name, input, completion_at) = match proxy.pipeline {
        Pipeline::TextGeneration => ("/v1/completions", "prompt", request.prompt, "/choices/0/text"),
        Pipeline::Conversational => (
            "/v1/chat/completions",
            "messages",
            request.messages,
            "/choices/0/message/content",
        ),
    };
    let input = input.ok_or_else(|| ApiError::parameter(name, "must be given"))?;
    body[name] = input.clone();
    let response = proxy.post(path, &body).await?;
    let completion = response
        .pointer(completion_at)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let echo = proxy.pipeline == Pipeline::TextGeneration && request.return_full_text.unwrap_or(true);
    let echoed = if echo {
        input.as_str().unwrap_or_default()
    } else {
        ""
    };
    Ok(format!("{echoed}{completion}"))
}

/// Translates `generate_kwargs`. `max_length` counts the prompt, which only the engine can, so it bounds the completion instead.
fn options(kwargs: &GenerateKwargs) -> Result<Value, ApiError> {
    let length = |name, value| count(name, value, 1..=MAX_TOKENS);
    let max_tokens = match length("generate_kwargs.max_new_tokens", kwargs.max_new_tokens)? {
        Some(max) => max,
        None => length("generate_kwargs.max_length", kwargs.max_length)?.unwrap_or(DEFAULT_MAX_LENGTH),
    };
    let temperature = if kwargs.do_sample.unwrap_or(true) {
        number("generate_kwargs.temperature", kwargs.temperature, 0.0..=2.0)?.unwrap_or(1.0)
    } else {
        0.0
    };
    Ok(json!({
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": number("generate_kwargs.top_p", kwargs.top_p, 0.0..=1.0)?.unwrap_or(1.0),
        "top_k": count("generate_kwargs.top_k", kwargs.top_k, 0..=MAX_TOKENS)?.unwrap_or(10),
    }))
}
