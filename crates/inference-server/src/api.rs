//! HTTP: routes and handlers.
//!
//! A handler parses the body into its type of `requests`. `validate` turns that into requests for the engine. `completion`
//! waits for the engine, and `chat_response` or the handler makes the response.

mod app;
mod chat;
mod chat_response;
mod completion;
mod completions;
mod context;
mod embeddings;
mod error;
mod info;
mod kaito_chat;
mod requests;
mod tokenize;
mod validate;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{get, post};

pub(crate) use app::App;
pub(crate) use context::{ReportedParameters, RequestContext, with_context};
pub(crate) use error::ApiError;
pub(crate) use info::{root, ui};
pub(crate) use requests::{GenerateKwargs, parse};
pub(crate) use validate::{count, number};

/// Maximum of a request's body, in bytes: larger than the longest context.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Returns all routes of a server with a model.
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
        .route("/v1/completions", post(completions::handle))
        .route("/v1/embeddings", post(embeddings::handle))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .layer(body_limit())
        .layer(middleware::from_fn_with_state(
            ReportedParameters::default(),
            with_context,
        ))
        .with_state(app)
}

/// Returns the limit for the body of a request.
pub(crate) fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(MAX_BODY_BYTES)
}
