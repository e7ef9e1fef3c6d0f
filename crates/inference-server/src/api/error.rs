//! Errors in the shape that clients of OpenAI's API expect.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Seconds after which a refused client should retry.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Maximum of a path in a message, in characters.
const MAX_PATH_CHARS: usize = 200;

/// An error of a request.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) kind: &'static str,
    /// Path of the wrong parameter, such as `messages[0].role`.
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
}

impl ApiError {
    /// A parameter that is missing or wrong. The problem reads well after the name: `must be …`.
    pub(crate) fn parameter(name: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        let name = name.into();
        Self {
            status: StatusCode::BAD_REQUEST,
            message: format!("`{name}` {problem}"),
            kind: "invalid_request_error",
            param: Some(name),
            code: None,
        }
    }

    /// A body that is not a JSON object.
    pub(crate) fn body(problem: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: format!("the body must be a JSON object: {problem}"),
            kind: "invalid_request_error",
            param: None,
            code: Some("invalid_json"),
        }
    }

    /// A prompt that leaves too little of the context for the completion.
    pub(crate) fn too_long(name: &str, prompt: usize, max_tokens: usize, context: usize) -> Self {
        Self {
            code: Some("context_length_exceeded"),
            ..Self::parameter(
                name,
                format!(
                    "has {prompt} tokens, and {max_tokens} more are requested: the context has {context}"
                ),
            )
        }
    }

    pub(crate) fn unknown_model<'a>(requested: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        Self {
            status: StatusCode::NOT_FOUND,
            code: Some("model_not_found"),
            ..Self::parameter(
                "model",
                format!("must be one of {}, not `{requested}`", known.join(", ")),
            )
        }
    }

    /// A completion that cannot continue within its grammar.
    pub(crate) fn constraint_failed(problem: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: problem.into(),
            kind: "invalid_request_error",
            param: None,
            code: Some("constraint_failed"),
        }
    }

    /// A path that the server does not have.
    pub(crate) fn not_found(method: &Method, path: &str) -> Self {
        let path: String = path.chars().take(MAX_PATH_CHARS).collect();
        Self {
            status: StatusCode::NOT_FOUND,
            message: format!("Unknown request URL: {method} {path}."),
            kind: "invalid_request_error",
            param: None,
            code: Some("unknown_url"),
        }
    }

    /// A path that takes other methods.
    pub(crate) fn method_not_allowed(method: &Method, path: &str) -> Self {
        let path: String = path.chars().take(MAX_PATH_CHARS).collect();
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            message: format!("Not allowed to {method} on {path}."),
            kind: "invalid_request_error",
            param: None,
            code: Some("method_not_supported"),
        }
    }

    /// A body that is larger than `max` bytes.
    pub(crate) fn body_too_large(max: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            message: format!("the body must have at most {max} bytes"),
            kind: "invalid_request_error",
            param: None,
            code: Some("request_too_large"),
        }
    }

    /// A body that did not arrive, in time or at all.
    pub(crate) fn body_incomplete() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            message: "failed to read the body: it must arrive in time".to_owned(),
            kind: "invalid_request_error",
            param: None,
            code: Some("request_timeout"),
        }
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            message: message.to_owned(),
            kind: "invalid_request_error",
            param: None,
            code: Some("invalid_api_key"),
        }
    }

    pub(crate) fn too_many() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: "Too many requests: the queue is full, try again later.".to_owned(),
            kind: "requests",
            param: None,
            code: Some("rate_limit_exceeded"),
        }
    }

    pub(crate) fn unavailable(message: &str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message: message.to_owned(),
            kind: "server_error",
            param: None,
            code: Some("not_ready"),
        }
    }

    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: message.to_string(),
            kind: "server_error",
            param: None,
            code: None,
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }

    /// Returns a response in the shape of FastAPI, which the older endpoints have.
    pub(crate) fn into_detail(self) -> Response {
        let body = json!({"detail": self.message});
        self.respond(body)
    }

    fn respond(&self, body: Value) -> Response {
        let mut response = (self.status, Json(body)).into_response();
        if matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = self.json();
        self.respond(body)
    }
}
