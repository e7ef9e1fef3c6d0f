//! Errors of the runtime. The class decides about retries, the label is for metrics, [`Chain`] is for people.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use kube::error::Status;
use plan::text::cut;
use plan::{FailureClass, ObjectRef, RefusedWrite, Verb};

/// Longest response without a message of its own that is repeated, in bytes.
const LONGEST_BODY: usize = 500;

/// A failed step of a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a request.
    #[error("{what}: {message} ({code})")]
    Refused {
        /// The request.
        what: String,
        /// HTTP status.
        code: u16,
        /// The server's message.
        message: String,
        /// Meaning for the next attempt.
        class: FailureClass,
        /// Pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// A response did not arrive in time.
    #[error("{what}: no response in time")]
    Timeout {
        /// The request.
        what: String,
    },
    /// The lease was not renewed in time, so the request was not sent.
    #[error("{what}: not sent, because another replica may hold the lease by now")]
    NotLeader {
        /// The request.
        what: String,
    },
    /// The API server was not reached, or its response was not readable.
    #[error("{what}")]
    Client {
        /// The request.
        what: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// The plan did not fit a request.
    #[error("{what}: failed to build the request")]
    Unbuildable {
        /// The request.
        what: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A reconcile panicked.
    #[error("the reconcile panicked")]
    Panicked,
}

impl Error {
    /// Meaning for the next attempt.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Refused { class, .. } => *class,
            Self::Timeout { .. } | Self::NotLeader { .. } | Self::Client { .. } => FailureClass::Transient,
            Self::Unbuildable { .. } | Self::Panicked => FailureClass::Bug,
        }
    }

    /// Returns a stable word, fit for a metric label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused { class, .. } => class.label(),
            Self::Timeout { .. } => "timeout",
            Self::NotLeader { .. } => "not_leader",
            Self::Client { .. } => "unreachable",
            Self::Unbuildable { .. } => "unbuildable",
            Self::Panicked => "panicked",
        }
    }

    /// HTTP status, if the API server refused.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Pause before the next attempt that the API server asks for.
    #[must_use]
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns the failure of this write as the planners see it.
    #[must_use]
    pub(crate) fn refusal(&self, verb: Verb, target: ObjectRef) -> RefusedWrite {
        match self {
            Self::Refused { code, message, .. } => RefusedWrite::new(verb, target, Some(*code), message),
            Self::Timeout { .. } => RefusedWrite::new(verb, target, None, "no response in time"),
            Self::NotLeader { .. } => RefusedWrite::new(
                verb,
                target,
                None,
                "not sent, because another replica may hold the lease by now",
            ),
            Self::Client { source, .. } => {
                RefusedWrite::new(verb, target, None, &Chain(source.as_ref()).to_string())
            }
            // 422: a request that cannot be built is wrong and stays wrong.
            Self::Unbuildable { .. } | Self::Panicked => {
                RefusedWrite::new(verb, target, Some(422), &Chain(self).to_string())
            }
        }
    }

    /// Returns the error that is retried sooner.
    pub(crate) fn sooner(self, other: Option<Self>) -> Self {
        let pace = |error: &Self| match error.class() {
            FailureClass::Conflict => 0,
            FailureClass::Transient => 1,
            FailureClass::Denied => 2,
            FailureClass::Bug => 3,
        };
        match other {
            Some(other) if pace(&other) <= pace(&self) => other,
            _ => self,
        }
    }

    /// Returns the refusal in a response that is not a success. Proxies and priority levels answer with plain text.
    pub(crate) fn of_response(what: String, code: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
        let header = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let status: Option<Status> = serde_json::from_slice(body).ok();
        let details = status.as_ref().and_then(|status| status.details.as_ref());
        let asked = details
            .map(|details| details.retry_after_seconds)
            .filter(|asked| *asked > 0);
        let retry_after = asked
            .map(|asked| Duration::from_secs(asked.into()))
            .or_else(|| header.and_then(seconds));
        let message = status
            .map(|status| status.message)
            .filter(|message| !message.is_empty());
        Self::Refused {
            what,
            code,
            message: message.unwrap_or_else(|| cut(&String::from_utf8_lossy(body), LONGEST_BODY)),
            class: FailureClass::of(code),
            retry_after,
        }
    }

    pub(crate) fn from_kube(what: String, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::refused(what, *status),
            source => Self::Client {
                what,
                source: Box::new(source),
            },
        }
    }

    fn refused(what: String, status: Status) -> Self {
        Self::Refused {
            what,
            class: FailureClass::of(status.code),
            code: status.code,
            message: status.message,
            retry_after: None,
        }
    }

    /// Returns the same refusal with the class that it has for the caller.
    pub(crate) fn with_class(self, class: FailureClass) -> Self {
        match self {
            Self::Refused {
                what,
                code,
                message,
                retry_after,
                ..
            } => Self::Refused {
                what,
                code,
                message,
                class,
                retry_after,
            },
            other => other,
        }
    }
}

/// An error with all its causes, on one line. A cause that its parent already quotes is left out.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_shows_each_cause_once() {
        let inner = std::io::Error::other("connection refused");
        let error = Error::Unbuildable {
            what: "apply Machine a".to_owned(),
            source: Box::new(inner),
        };
        assert_eq!(
            Chain(&error).to_string(),
            "apply Machine a: failed to build the request: connection refused"
        );
        let quoting = kube::Error::Service("connection refused".into());
        let error = Error::Client {
            what: "apply Machine a".to_owned(),
            source: Box::new(quoting),
        };
        assert_eq!(
            Chain(&error).to_string(),
            "apply Machine a: ServiceError: connection refused"
        );
    }
}
