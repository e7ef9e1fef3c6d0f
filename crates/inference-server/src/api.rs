//! HTTP: routes, request ids, and what all handlers share.

mod access;
mod body;
mod chat;
mod chat_response;
mod completion;
mod completions_endpoint;
mod embeddings;
mod error;
mod info;
mod kaito_chat;
mod options;
mod structured_output;
mod tokenize;
mod tools;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};

use crate::load::phase::{Phase, State};
use crate::load::{Served, Variant};
use crate::metrics::Metrics;
pub(crate) use access::check as access;
pub(crate) use body::Body;
pub(crate) use error::ApiError;
pub(crate) use info::{root, ui};

/// Largest body of a request, in bytes: longer than the longest context.
const BODY_BYTES: usize = 8 << 20;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken from a caller.
const ID_BYTES: usize = 128;

/// What handlers share.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) state: State,
    pub(crate) metrics: Metrics,
    /// When the program started, Unix time in seconds.
    pub(crate) started: u64,
}

/// The caller's id of a request, or one of ours.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

impl App {
    pub(crate) fn new(state: State, metrics: Metrics) -> Self {
        Self {
            state,
            metrics,
            started: now(),
        }
    }

    /// The model, if it answers.
    pub(crate) fn served(&self) -> Result<Arc<Served>, ApiError> {
        match self.state.get() {
            Phase::Ready(served) => Ok(served),
            Phase::Fetching { .. } => Err(ApiError::unavailable(
                "the model is being downloaded: see /health",
            )),
            Phase::Loading(_) => Err(ApiError::unavailable("the model is being loaded: see /health")),
            Phase::Draining => Err(ApiError::unavailable("the server is stopping")),
        }
    }

    /// The model a request asks for. It may leave that out; an unknown one is a mistake.
    pub(crate) fn variant(&self, served: &Served, body: &Body) -> Result<Variant, ApiError> {
        let asked = body.text("model")?;
        served.variant(asked).ok_or_else(|| {
            let known = std::iter::once(&served.name).chain(&served.variants);
            ApiError::unknown_model(asked.unwrap_or_default(), known.map(String::as_str))
        })
    }
}

/// Unix time in seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// All routes of a server with a model.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(info::root))
        .route("/health", get(info::health))
        .route("/healthz", get(info::health))
        .route("/version", get(info::version))
        .route("/metrics", get(info::metrics))
        .route("/metrics/prometheus", get(info::prometheus))
        .route("/ui", get(info::ui))
        .route("/chat", post(kaito_chat::handle))
        .route("/v1/models", get(info::models))
        .route("/v1/chat/completions", post(chat::handle))
        .route("/v1/completions", post(completions_endpoint::handle))
        .route("/v1/embeddings", post(embeddings::handle))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .layer(body_limit())
        .layer(middleware::from_fn(with_id))
        .with_state(app)
}

/// How large a request may be.
pub(crate) fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(BODY_BYTES)
}

/// Gives every request an id and every reply that id.
async fn with_id(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let given = given
        .filter(|id| !id.is_empty() && id.len() <= ID_BYTES)
        .map(str::to_owned);
    let id = given.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}
