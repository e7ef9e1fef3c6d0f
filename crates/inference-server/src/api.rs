//! HTTP: routes and handlers.
//!
//! A handler parses the body into its type of `requests`. `validate` turns that into requests for the engine. `completion`
//! waits for the engine, and `chat_response` or the handler makes the response.

mod admission;
mod app;
mod chat;
mod chat_response;
mod completion;
mod completions;
mod completions_response;
mod context;
mod embeddings;
mod error;
mod info;
mod kaito_chat;
mod requests;
mod responses;
mod responses_output;
mod tokenize;
mod validate;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::routing::{get, post};

pub(crate) use admission::MAX_BODY_BYTES;
pub(crate) use app::App;
pub(crate) use context::{ReportedParameters, RequestContext, with_context};
pub(crate) use error::ApiError;
pub(crate) use info::{MetricsFormat, live, prometheus_response, root, stalled, ui};
pub(crate) use kaito_chat::refuse_unsupported as refuse_kwargs;
pub(crate) use requests::{GenerateKwargs, parse};
pub(crate) use validate::{count, number};

/// Returns all routes of a server with a model.
pub(crate) fn router(app: App) -> Router {
    let receive = middleware::from_fn_with_state(app.admission.clone(), admission::receive);
    Router::new()
        .route("/", get(info::root))
        .route("/health", get(info::health))
        .route("/healthz", get(info::health))
        .route("/live", get(info::live))
        .route("/version", get(info::version))
        .route("/metrics", get(info::metrics))
        .route("/metrics/prometheus", get(info::prometheus))
        .route("/ui", get(info::ui))
        .route("/chat", post(kaito_chat::handle))
        .route("/v1/models", get(info::models))
        .route("/v1/models/{*id}", get(info::model))
        .route("/v1/chat/completions", post(chat::handle))
        .route("/v1/completions", post(completions::handle))
        .route("/v1/responses", post(responses::handle))
        .route("/v1/embeddings", post(embeddings::handle))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // The middleware bounds bodies, and handlers get them whole.
        .layer(DefaultBodyLimit::disable())
        .layer(receive)
        .layer(middleware::from_fn_with_state(
            ReportedParameters::default(),
            with_context,
        ))
        .with_state(app)
}

/// Answers a request for a path that does not exist.
pub(crate) async fn not_found(method: Method, uri: Uri) -> ApiError {
    ApiError::not_found(&method, uri.path())
}

/// Answers a request with a method that the path does not take.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::method_not_allowed(&method, uri.path())
}
