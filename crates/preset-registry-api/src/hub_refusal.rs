//! What a client is told when a model hub gave no preset: written by the server, read by its clients.
//!
//! A `google.rpc.Status` with an `ErrorInfo`, and with a `RetryInfo` where asking again may help.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::ERROR_DOMAIN;

/// A refusal on behalf of a hub.
#[derive(Debug, Clone, Copy)]
pub struct HubRefusal<'a> {
    /// `FAILED_PRECONDITION` when somebody has to do something, `UNAVAILABLE` or `RESOURCE_EXHAUSTED` when waiting helps.
    pub code: Code,
    /// One of the constants of this type.
    pub reason: &'static str,
    /// The name that was asked for.
    pub name: &'a str,
    /// For people: what happened and what helps.
    pub sentence: &'a str,
    /// When to ask again; `None` when that does not help.
    pub retry: Option<Duration>,
}

impl HubRefusal<'_> {
    /// The model is gated, private or absent.
    pub const ACCESS_DENIED: &'static str = "HUB_ACCESS_DENIED";
    /// Too many requests.
    pub const LIMITED: &'static str = "HUB_LIMITED";
    /// The hub cannot be reached or fails.
    pub const UNAVAILABLE: &'static str = "HUB_UNAVAILABLE";
    /// The hub has the model and no preset can be made of it.
    pub const UNSUPPORTED: &'static str = "HUB_MODEL_UNSUPPORTED";
}

/// The status of the refusal.
#[must_use]
pub fn hub_refusal(refusal: &HubRefusal<'_>) -> Status {
    let metadata = HashMap::from([("name".to_owned(), refusal.name.to_owned())]);
    let mut details = ErrorDetails::with_error_info(refusal.reason, ERROR_DOMAIN, metadata);
    if refusal.retry.is_some() {
        details.set_retry_info(refusal.retry);
    }
    Status::with_error_details(refusal.code, refusal.sentence, details)
}

/// The reason of a status that [`hub_refusal`] made; `None` for any other.
#[must_use]
pub fn hub_reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == ERROR_DOMAIN && info.reason.starts_with("HUB_")).then_some(info.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_writes_the_client_reads() {
        let status = hub_refusal(&HubRefusal {
            code: Code::Unavailable,
            reason: HubRefusal::LIMITED,
            name: "a/b",
            sentence: "later",
            retry: Some(Duration::from_secs(7)),
        });
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "later"));
        assert_eq!(hub_reason(&status).as_deref(), Some("HUB_LIMITED"));
        let retry = status.get_details_retry_info().unwrap().retry_delay;
        assert_eq!(retry, Some(Duration::from_secs(7)));
        assert_eq!(hub_reason(&crate::not_found("a", &[])), None);
    }
}
