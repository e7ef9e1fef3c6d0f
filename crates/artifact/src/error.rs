//! The failures of a command: one sentence for people, one number for scripts.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use egress::{Chain, ErrorClass, Refusal, Transient};

/// Shorthand for this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed command. The texts name hosts and files, never credentials or the queries of URLs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request or a download failed.
    #[error(transparent)]
    Egress(#[from] egress::Error),
    /// A model of a hub cannot be had.
    #[error(transparent)]
    Hub(#[from] hub_files::Error),
    /// An image cannot be packed or unpacked.
    #[error(transparent)]
    Image(#[from] oci_image::Error),
    /// The file system failed.
    #[error("failed to {doing}")]
    Local {
        /// The attempt: a verb phrase with the path.
        doing: String,
        /// The error of the system.
        source: io::Error,
    },
    /// An argument is malformed.
    #[error("{argument} must be {expected}")]
    Usage {
        /// The argument, without secrets.
        argument: String,
        /// The expectation: a noun phrase.
        expected: String,
    },
    /// A Docker config file is malformed. The text names no secret.
    #[error("{} must be a Docker config: {problem}", file.display())]
    DockerConfig {
        /// The file.
        file: PathBuf,
        /// The place and what is wrong there.
        problem: String,
    },
    /// A registry refuses our credentials, or there are none.
    #[error("{refusal}; {remedy}")]
    Denied {
        /// The response of the registry.
        refusal: egress::Error,
        /// The remedy.
        remedy: &'static str,
    },
    /// A registry does not permit a push, which was tried before there is anything to push.
    #[error("registry {registry} {answer}: {remedy}")]
    NoPush {
        /// `HOST[:PORT]` as the image names it.
        registry: String,
        /// The answer of the registry, with the repository and the credentials: a verb phrase.
        answer: String,
        /// The remedy.
        remedy: String,
        /// The failure of the request.
        cause: Box<Self>,
    },
    /// A token that no header can carry.
    #[error("a token must be of printable characters")]
    TokenCharacters,
    /// A registry behaves in a way that is not supported.
    #[error("failed to {doing}: {problem}")]
    Protocol {
        /// The request: a verb phrase.
        doing: String,
        /// The problem with the response.
        problem: String,
    },
    /// A payload that is not unpacked.
    #[error("{payload} {problem}")]
    Payload {
        /// The image or the file.
        payload: String,
        /// A verb phrase.
        problem: String,
    },
    /// An image without a payload.
    #[error("{image} has {found}: there is no payload to use")]
    NoPayload {
        /// The image.
        image: String,
        /// The contents in its place.
        found: &'static str,
    },
    /// Bytes have another digest than expected, or another length.
    #[error("failed to {doing}: {problem}")]
    Corrupt {
        /// The request: a verb phrase.
        doing: String,
        /// The problem with the bytes.
        problem: String,
    },
    /// An upload that the registry lost. It is started again.
    #[error(transparent)]
    UploadLost(Box<Self>),
    /// More bytes than allowed.
    #[error("{what} has {size}, more than --max-bytes allows")]
    TooLarge {
        /// The image.
        what: String,
        /// Its size, with a unit.
        size: String,
    },
    /// The command took too long.
    #[error("the command did not end within {} s, which --timeout sets", .0.as_secs())]
    Deadline(Duration),
    /// The result of a tuning cannot be pushed.
    #[error("nothing is pushed: {0}")]
    NoResult(NoResult),
    /// Signals cannot be received.
    #[error(transparent)]
    Signals(#[from] serve::ListenError),
    /// The push beside us did not succeed.
    #[error("the result was not pushed{}: {error}", .within.map_or_else(String::new, |limit| format!(" within {} s", limit.as_secs())))]
    NotPushed {
        /// The time in which it was tried again; `None` if another attempt cannot help.
        within: Option<Duration>,
        /// The last error.
        error: String,
        /// The exit status of that error.
        code: u8,
    },
    /// A signal ended the program.
    #[error("stopped by {0} before the work was done")]
    Stopped(&'static str),
    /// Every attempt failed.
    #[error("{} (tried {attempts} times)", Chain(last))]
    GaveUp {
        /// The number of attempts.
        attempts: u32,
        /// The last failure.
        last: Box<Self>,
    },
}

/// A missing result of a tuning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoResult {
    /// The tuning failed.
    #[error("the tuning failed{}", .reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}")))]
    TuningFailed {
        /// The reason that the tuning left.
        reason: Option<String>,
    },
    /// The directory is no model.
    #[error("{} holds no config.json and no params.json, so it is not a model", directory.display())]
    NoModel {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory is no adapter.
    #[error("{} holds no {file}, so it is not an adapter", directory.display())]
    NoAdapter {
        /// The directory.
        directory: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// The directory is empty.
    #[error("{} holds no files", directory.display())]
    NoFiles {
        /// The directory.
        directory: PathBuf,
    },
}

impl Error {
    /// The exit status.
    ///
    /// | code | meaning |
    /// |---|---|
    /// | 1 | the file system failed |
    /// | 2 | wrong arguments |
    /// | 3 | a rule of ours or of the server forbids it |
    /// | 4 | credentials are missing or refused |
    /// | 5 | not found |
    /// | 6 | the server fails or cannot be reached, after all attempts |
    /// | 7 | digest, checksum or archive is wrong |
    /// | 8 | too large or too slow |
    /// | 9 | there is no result to push |
    /// | 143 | ended by a signal |
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Egress(error) => code_of(error.class()),
            Self::Hub(error) => code_of_hub(error),
            Self::Image(error) => code_of_image(error),
            Self::Local { .. } | Self::Signals(_) => 1,
            Self::Usage { .. } | Self::DockerConfig { .. } => 2,
            Self::Protocol { .. } | Self::Payload { .. } => 3,
            Self::Denied { .. } | Self::TokenCharacters => 4,
            Self::NoPayload { .. } => 5,
            Self::UploadLost(_) => 6,
            Self::Corrupt { .. } => 7,
            Self::TooLarge { .. } | Self::Deadline(_) => 8,
            Self::NoResult(_) => 9,
            Self::NotPushed { code, .. } => *code,
            Self::Stopped(_) => 143,
            Self::NoPush { cause: last, .. } | Self::GaveUp { last, .. } => last.exit_code(),
        }
    }

    /// Reports whether the same push may succeed later: the registry or its credentials may have been repaired until then.
    pub(crate) fn may_be_repaired(&self) -> bool {
        match self {
            Self::Usage { .. } | Self::Image(_) | Self::NoResult(_) | Self::TooLarge { .. } => false,
            Self::GaveUp { last, .. } => last.may_be_repaired(),
            _ => true,
        }
    }

    /// The error with its causes and, if there is one, its remedy.
    pub(crate) fn sentence(&self) -> String {
        let text = Chain(self).to_string();
        match self.remedy() {
            Some(remedy) => format!("{text}, {remedy}"),
            None => text,
        }
    }

    /// The flags that would permit what was refused.
    fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Egress(egress::Error::Refused(refusal)) => match refusal {
                Refusal::PlainHttp { .. } => Some("or --allow-http with a checksum"),
                Refusal::Address { .. } | Refusal::ThisMachine { .. } => Some(
                    "and only public hosts are reached unless --allow-private or --allow-host says otherwise",
                ),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns a constructor of an error of the file system while doing `verb` to `path`.
    pub(crate) fn local(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
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
        match self {
            Self::Egress(error) => error.is_transient(),
            Self::UploadLost(_) => true,
            _ => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Egress(error) => error.retry_after(),
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

fn code_of(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Local => 1,
        ErrorClass::Usage => 2,
        ErrorClass::Refused => 3,
        ErrorClass::Unauthorized => 4,
        ErrorClass::NotFound => 5,
        ErrorClass::Unavailable => 6,
        ErrorClass::Corrupt => 7,
        ErrorClass::TooLarge => 8,
    }
}

fn code_of_hub(error: &hub_files::Error) -> u8 {
    use hub_files::Error as Hub;
    match error {
        Hub::Egress(error) | Hub::Refused { refusal: error, .. } => code_of(error.class()),
        Hub::Local { .. } => 1,
        Hub::Setting { .. } => 2,
        Hub::NoWeights(_) => 5,
        Hub::Metadata(_) | Hub::Index { .. } => 7,
        Hub::TooLarge { .. } => 8,
    }
}

fn code_of_image(error: &oci_image::Error) -> u8 {
    use oci_image::Error as Image;
    match error {
        Image::Io { .. } => 1,
        Image::Unsafe { .. } => 3,
        Image::Damaged(_) | Image::Json(_) | Image::Spec(_) => 7,
        Image::TooLarge(_) => 8,
    }
}
