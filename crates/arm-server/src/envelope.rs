//! Wire format of errors: the envelopes of the gateway, of the resource provider and of its operations.
//!
//! It has the formats only; the texts are in `errors`.

use serde_json::{Value, json};

/// An error in its wire format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArmError {
    pub(crate) status: u16,
    pub(crate) body: ErrorBody,
    /// Seconds, for `Retry-After`.
    pub(crate) retry_after: Option<RetryAfter>,
}

/// Format of `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    Seconds(u64),
    DateIn(u64),
}

/// The envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ErrorBody {
    /// That of the gateway: `{"error": {code, message}}`.
    Nested(Value),
    /// That of the resource provider: `{code, details, message, subcode}`.
    Flat(Value),
    Html(&'static str),
    Empty,
}

impl ArmError {
    /// The same error with the service's inner error in its details.
    pub(crate) fn detailed(mut self, message: &str) -> Self {
        if let ErrorBody::Flat(body) = &mut self.body {
            body["details"] = json!([{"code": "Unspecified", "message": message}]);
        }
        self
    }

    /// Returns true if the gateway refused the request, which has then not reached the service.
    pub(crate) fn is_of_gateway(&self) -> bool {
        matches!(self.body, ErrorBody::Nested(_))
    }

    /// The error object of an operation document.
    pub(crate) fn inner(&self) -> Value {
        match &self.body {
            ErrorBody::Nested(value) | ErrorBody::Flat(value) => value.clone(),
            ErrorBody::Html(_) | ErrorBody::Empty => {
                json!({"code": "InternalOperationError", "message": "Internal error"})
            }
        }
    }
}

pub(crate) fn flat(status: u16, code: &str, message: &str, subcode: &str) -> ArmError {
    let body = json!({"code": code, "details": null, "message": message, "subcode": subcode});
    ArmError {
        status,
        body: ErrorBody::Flat(body),
        retry_after: None,
    }
}

pub(crate) fn nested(status: u16, code: &str, message: &str) -> ArmError {
    let body = json!({"code": code, "message": message});
    ArmError {
        status,
        body: ErrorBody::Nested(body),
        retry_after: None,
    }
}

pub(crate) fn html(status: u16, page: &'static str) -> ArmError {
    ArmError {
        status,
        body: ErrorBody::Html(page),
        retry_after: None,
    }
}

pub(crate) fn wrapped(code: &str, message: &str) -> ArmError {
    let text = format!("Unable to create the agent pool: {message}");
    let body = json!({"code": "CreateVMSSAgentPoolFailed", "message": text,
        "details": [{"code": code, "message": message}], "subcode": ""});
    ArmError {
        status: 400,
        body: ErrorBody::Flat(body),
        retry_after: None,
    }
}
