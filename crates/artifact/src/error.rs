//! Why a command fails: one sentence for people, one number for scripts.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Shorthand for this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a command failed. The texts name hosts and files, and never credentials or queries of URLs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system failed.
    #[error("cannot {doing}: {source}")]
    Local {
        /// The attempt: a verb phrase with the path.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A rule forbids it: an address that must not be reached, an archive that would leave its directory.
    #[error("{0}")]
    Refused(String),
    /// The other side wants other credentials.
    #[error("{0}")]
    Unauthorized(String),
    /// It is not there.
    #[error("{0}")]
    NotFound(String),
    /// The other side fails, or cannot be reached. Worth another try.
    #[error("{text}")]
    Unavailable {
        /// What happened.
        text: String,
        /// How long the other side wants to be left alone.
        after: Option<Duration>,
    },
    /// The bytes are not those that were promised.
    #[error("{0}")]
    Corrupt(String),
    /// Larger or slower than allowed.
    #[error("{0}")]
    TooMuch(String),
    /// There is no result to push.
    #[error("{0}")]
    NoResult(String),
    /// Somebody ended the program.
    #[error("stopped by {0} before the work was done")]
    Stopped(&'static str),
}

impl Error {
    /// The exit status.
    ///
    /// | code | meaning |
    /// |---|---|
    /// | 1 | the file system failed |
    /// | 2 | wrong arguments |
    /// | 3 | a rule of ours or of the other side forbids it |
    /// | 4 | credentials are missing or refused |
    /// | 5 | not found |
    /// | 6 | the other side fails or cannot be reached, after all attempts |
    /// | 7 | digest, checksum or archive is wrong |
    /// | 8 | too large or too slow |
    /// | 9 | there is no result to push |
    /// | 143 | ended by a signal |
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Local { .. } => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unauthorized(_) => 4,
            Self::NotFound(_) => 5,
            Self::Unavailable { .. } => 6,
            Self::Corrupt(_) => 7,
            Self::TooMuch(_) => 8,
            Self::NoResult(_) => 9,
            Self::Stopped(_) => 143,
        }
    }

    /// Something of the other side that may pass.
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self::Unavailable {
            text: text.into(),
            after: None,
        }
    }

    /// An error of the file system while doing `verb` to `path`.
    pub(crate) fn local(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{verb} {}", path.display());
        move |source| Self::Local { doing, source }
    }

    /// A task of ours that ended by itself, which only a defect does.
    pub(crate) fn task(error: &tokio::task::JoinError) -> Self {
        Self::Local {
            doing: "finish a task".to_owned(),
            source: io::Error::other(error.to_string()),
        }
    }
}

impl From<oci_image::Error> for Error {
    fn from(error: oci_image::Error) -> Self {
        use oci_image::Error as Image;
        match error {
            Image::Io { doing, source } => Self::Local { doing, source },
            error @ Image::Damaged(_) => Self::Corrupt(error.to_string()),
            error @ Image::Unsafe { .. } => Self::Refused(error.to_string()),
            error @ Image::TooLarge(_) => Self::TooMuch(error.to_string()),
            error @ (Image::Json(_) | Image::Spec(_)) => Self::Corrupt(error.to_string()),
        }
    }
}
