//! The status of a lookup that a model hub refused. The server writes it, clients read it.
//!
//! A `google.rpc.Status` with an `ErrorInfo`, and with a `RetryInfo` if a retry may help.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::not_found::ERROR_DOMAIN;

/// A refusal on behalf of a hub.
#[derive(Debug, Clone, Copy)]
pub struct HubRefusal<'a> {
    /// `FAILED_PRECONDITION` if the user must act, `UNAVAILABLE` or `RESOURCE_EXHAUSTED` if waiting helps.
    pub code: Code,
    /// One of the constants of this type.
    pub reason: &'static str,
    /// The requested name.
    pub name: &'a str,
    /// The problem and its remedy, for users.
    pub sentence: &'a str,
    /// Pause before a retry; `None` if a retry does not help.
    pub retry: Option<Duration>,
}

impl HubRefusal<'_> {
    /// The model is gated, private or absent.
    pub const ACCESS_DENIED: &'static str = "HUB_ACCESS_DENIED";
    /// Too many requests.
    pub const LIMITED: &'static str = "HUB_LIMITED";
    /// The hub cannot be reached or fails.
    pub const UNAVAILABLE: &'static str = "HUB_UNAVAILABLE";
    /// The hub has the model, but no preset can be built from it.
    pub const UNSUPPORTED: &'static str = "HUB_MODEL_UNSUPPORTED";
}

/// Builds the status of a refusal.
#[must_use]
pub fn hub_refusal(refusal: &HubRefusal<'_>) -> Status {
    let metadata = HashMap::from([("name".to_owned(), refusal.name.to_owned())]);
    let mut details = ErrorDetails::with_error_info(refusal.reason, ERROR_DOMAIN, metadata);
    if refusal.retry.is_some() {
        details.set_retry_info(refusal.retry);
    }
    Status::with_error_details(refusal.code, refusal.sentence, details)
}

/// The reason of a status of [`hub_refusal`]; `None` for any other.
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
