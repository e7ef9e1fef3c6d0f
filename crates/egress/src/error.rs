//! The failures of a request or a download, and what each means for the caller.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;

use crate::chain::Chain;
use crate::policy::Refusal;
use crate::retry::Transient;

/// Shorthand for this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed request or download. The texts name hosts and files, never credentials or the queries of URLs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy forbids the address.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A redirect has no usable target.
    #[error("failed to {doing}: the redirect from {from} has no usable target")]
    BadRedirect {
        /// The request: a verb phrase.
        doing: String,
        /// The URL that redirects.
        from: String,
    },
    /// The redirects do not end.
    #[error("failed to {doing}: more than {limit} redirects")]
    TooManyRedirects {
        /// The request: a verb phrase.
        doing: String,
        /// The most that are followed.
        limit: usize,
    },
    /// The server cannot be reached, or the connection broke.
    #[error("failed to {doing}")]
    Connection {
        /// The request: a verb phrase.
        doing: String,
        /// The error of the HTTP client, without the URL.
        source: reqwest::Error,
    },
    /// The server is silent.
    #[error("failed to {doing}: no response in time")]
    TimedOut {
        /// The request: a verb phrase.
        doing: String,
    },
    /// The body ended before its announced length.
    #[error("failed to {doing}: the response ended early")]
    EndedEarly {
        /// The request: a verb phrase.
        doing: String,
    },
    /// The server refuses or fails.
    #[error("failed to {doing}: the server answered {}{}", with_reason(*status), in_parentheses(words))]
    Status {
        /// The request: a verb phrase.
        doing: String,
        /// The status of the response.
        status: StatusCode,
        /// The server's own words, if they are short and plain.
        words: String,
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// A response is larger than it may be.
    #[error("failed to {doing}: the response has more than {limit} bytes")]
    TooLarge {
        /// The request: a verb phrase.
        doing: String,
        /// The most bytes.
        limit: u64,
    },
    /// The files are larger than allowed.
    #[error("failed to {doing}: the files have more than {limit} bytes in all, which --max-bytes sets")]
    OverBudget {
        /// The download: a verb phrase.
        doing: String,
        /// The most bytes of all files.
        limit: u64,
    },
    /// The server has another version of a file than the one that was begun.
    #[error("{url} changed while it was fetched")]
    Changed {
        /// The file.
        url: String,
    },
    /// A file has no bytes.
    #[error("{url} is empty")]
    Empty {
        /// The file.
        url: String,
    },
    /// A file has another checksum than expected.
    #[error("{url} must have the SHA-256 {expected}, not {actual}: it changed or was tampered with")]
    Checksum {
        /// The file.
        url: String,
        /// The expected digest.
        expected: String,
        /// The digest of the bytes.
        actual: String,
    },
    /// A file name would leave its directory or be hidden.
    #[error("{name:?} must be a plain file name")]
    FileName {
        /// The name.
        name: String,
    },
    /// A token file holds something else.
    #[error("{} holds no token: expected one word", file.display())]
    Token {
        /// The file.
        file: PathBuf,
    },
    /// A file of certificates holds none.
    #[error("expected certificates in PEM in {}", file.display())]
    Certificates {
        /// The file.
        file: PathBuf,
        /// The error of the parser.
        source: reqwest::Error,
    },
    /// The HTTP client cannot be set up.
    #[error("failed to set up TLS")]
    Setup(#[source] reqwest::Error),
    /// The file system failed.
    #[error("failed to {doing}")]
    Local {
        /// The attempt: a verb phrase with the path.
        doing: String,
        /// The error of the system.
        source: io::Error,
    },
    /// Every attempt failed.
    #[error("{} (tried {attempts} times)", Chain(last))]
    GaveUp {
        /// The number of attempts.
        attempts: u32,
        /// The last failure.
        last: Box<Self>,
    },
}

/// The meaning of an error for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The file system failed.
    Local,
    /// The configuration is wrong.
    Usage,
    /// A rule of ours or of the server forbids it.
    Refused,
    /// Credentials are missing or refused.
    Unauthorized,
    /// The file does not exist.
    NotFound,
    /// The server fails or cannot be reached. Another attempt may help.
    Unavailable,
    /// The bytes are wrong.
    Corrupt,
    /// The response is too large.
    TooLarge,
}

impl Error {
    /// The meaning for the caller.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Refused(Refusal::NoHost { .. }) | Self::Certificates { .. } | Self::Setup(_) => {
                ErrorClass::Usage
            }
            Self::Refused(_)
            | Self::BadRedirect { .. }
            | Self::TooManyRedirects { .. }
            | Self::FileName { .. } => ErrorClass::Refused,
            Self::Connection { .. }
            | Self::TimedOut { .. }
            | Self::EndedEarly { .. }
            | Self::Changed { .. } => ErrorClass::Unavailable,
            Self::Status { status, .. } => class_of(*status),
            Self::TooLarge { .. } | Self::OverBudget { .. } => ErrorClass::TooLarge,
            Self::Empty { .. } => ErrorClass::NotFound,
            Self::Checksum { .. } => ErrorClass::Corrupt,
            Self::Token { .. } => ErrorClass::Unauthorized,
            Self::Local { .. } => ErrorClass::Local,
            Self::GaveUp { last, .. } => last.class(),
        }
    }

    /// Returns a constructor of an error of the file system while doing `verb` to `path`.
    pub fn local(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let doing = format!("{verb} {}", path.display());
        move |source| Self::Local { doing, source }
    }

    /// A task of ours that panicked.
    pub(crate) fn task(error: &tokio::task::JoinError) -> Self {
        Self::Local {
            doing: "finish a task".to_owned(),
            source: io::Error::other(error.to_string()),
        }
    }
}

impl Transient for Error {
    fn is_transient(&self) -> bool {
        self.class() == ErrorClass::Unavailable && !matches!(self, Self::GaveUp { .. })
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn gave_up(self, attempts: u32) -> Self {
        Self::GaveUp {
            attempts,
            last: Box::new(self),
        }
    }
}

fn class_of(status: StatusCode) -> ErrorClass {
    match status.as_u16() {
        401 | 403 => ErrorClass::Unauthorized,
        404 | 410 => ErrorClass::NotFound,
        408 | 425 | 429 | 500..=599 => ErrorClass::Unavailable,
        _ => ErrorClass::Refused,
    }
}

fn with_reason(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

fn in_parentheses(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({words})")
    }
}
