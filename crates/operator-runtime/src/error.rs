//! What can fail in the shell. The class steers, the label counts, [`Chain`] is for people.

use std::fmt;

use kube::error::Status;

/// What an error means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// May pass by itself: back off.
    Transient,
    /// What was observed is out of date: observe again at once.
    Conflict,
    /// We may not: a person has to act.
    Denied,
    /// The request is wrong and will stay wrong: ours to fix.
    Bug,
}

impl Class {
    /// Stable word for metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Bug => "bug",
        }
    }
}

/// A failed step of a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server answered and refused.
    #[error("{what}: {message} ({code})")]
    Refused {
        /// What was tried.
        what: String,
        /// HTTP status.
        code: u16,
        /// The server's own words.
        message: String,
        /// What it means for us.
        class: Class,
    },
    /// No answer came in time.
    #[error("{what}: no answer in time")]
    Timeout {
        /// What was tried.
        what: String,
    },
    /// The API server could not be asked, or its answer not be read.
    #[error("{what}")]
    Client {
        /// What was tried.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The plan cannot be put into a request.
    #[error("{what}: the request cannot be built")]
    Unbuildable {
        /// What was tried.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A reconcile panicked.
    #[error("the reconcile panicked")]
    Panicked,
    /// A program's own step failed.
    #[error("{what}")]
    Other {
        /// What was tried.
        what: String,
        /// What it means for us.
        class: Class,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// A program's own step failed.
    pub fn other<E>(class: Class, what: impl Into<String>, source: E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::Other {
            what: what.into(),
            class,
            source: Some(source.into()),
        }
    }

    /// What it means for the next attempt.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { class, .. } | Self::Other { class, .. } => *class,
            Self::Timeout { .. } | Self::Client { .. } => Class::Transient,
            Self::Unbuildable { .. } | Self::Panicked => Class::Bug,
        }
    }

    /// Stable word for metric labels.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Refused { class, .. } | Self::Other { class, .. } => class.label(),
            Self::Timeout { .. } => "timeout",
            Self::Client { .. } => "unreachable",
            Self::Unbuildable { .. } => "unbuildable",
            Self::Panicked => "panicked",
        }
    }

    /// The HTTP status, when the API server refused.
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
        let class = class_of(status.code);
        Self::Refused {
            what,
            code: status.code,
            message: status.message,
            class,
        }
    }

    /// The same refusal, meaning something else where the caller knows better.
    pub(crate) fn with_class(self, class: Class) -> Self {
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

fn class_of(code: u16) -> Class {
    match code {
        409 => Class::Conflict,
        401 | 403 => Class::Denied,
        // 404: a namespace or a CRD that may still come. 408 and 429: later.
        404 | 408 | 429 => Class::Transient,
        400..=499 => Class::Bug,
        _ => Class::Transient,
    }
}

/// An error with all its causes, on one line; a cause that its parent already quotes is left out.
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
    fn codes_have_classes() {
        for (code, class) in [
            (400, Class::Bug),
            (401, Class::Denied),
            (403, Class::Denied),
            (404, Class::Transient),
            (409, Class::Conflict),
            (422, Class::Bug),
            (429, Class::Transient),
            (500, Class::Transient),
            (504, Class::Transient),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }

    #[test]
    fn a_chain_tells_each_cause_once() {
        let inner = std::io::Error::other("connection refused");
        let error = Error::other(Class::Transient, "asking the registry", inner);
        assert_eq!(
            Chain(&error).to_string(),
            "asking the registry: connection refused"
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
