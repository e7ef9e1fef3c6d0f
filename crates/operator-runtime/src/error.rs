//! Errors of the runtime. The class decides about retries, the label is for metrics, [`Chain`] is for people.

use std::fmt;

use kube::error::Status;
use plan::FailureClass;

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
    },
    /// A response did not arrive in time.
    #[error("{what}: no response in time")]
    Timeout {
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
            Self::Timeout { .. } | Self::Client { .. } => FailureClass::Transient,
            Self::Unbuildable { .. } | Self::Panicked => FailureClass::Bug,
        }
    }

    /// Returns a stable word, fit for a metric label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused { class, .. } => class.label(),
            Self::Timeout { .. } => "timeout",
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
        }
    }

    /// Returns the same refusal with the class that it has for the caller.
    pub(crate) fn with_class(self, class: FailureClass) -> Self {
        match self {
            Self::Refused {
                what, code, message, ..
            } => Self::Refused {
                what,
                code,
                message,
                class,
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
