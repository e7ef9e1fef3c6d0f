//! The failures of a repository.

use std::io;
use std::path::PathBuf;

use egress::Chain;

/// Shorthand for this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A repository whose files cannot be had. The texts name hosts and files, never a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is malformed.
    #[error("{setting} must be {expected}")]
    Setting {
        /// The flag of the program.
        setting: &'static str,
        /// The expectation: a noun phrase.
        expected: String,
    },
    /// A request failed.
    #[error(transparent)]
    Egress(#[from] egress::Error),
    /// A request failed, and there is something to do about it.
    #[error("{}; {remedy}", Chain(refusal))]
    Refused {
        /// The failure; the text has its causes.
        refusal: egress::Error,
        /// The remedy: a sentence without its period.
        remedy: &'static str,
    },
    /// The hub's response about the model is malformed.
    #[error(transparent)]
    Metadata(#[from] hub_metadata::MetadataError),
    /// The repository holds weights in another form than the wanted one.
    #[error("the repository must hold {0}: other forms of weights cannot be served here")]
    NoWeights(&'static str),
    /// The files have more bytes than allowed.
    #[error("{model} has {bytes} bytes, and --max-bytes allows {limit}")]
    TooLarge {
        /// The repository.
        model: String,
        /// Bytes of all files.
        bytes: u64,
        /// The most bytes.
        limit: u64,
    },
    /// The index of the weights is no such index.
    #[error("{index} {problem}")]
    Index {
        /// The file.
        index: &'static str,
        /// A verb phrase.
        problem: String,
    },
    /// A file that was just fetched cannot be read.
    #[error("failed to read {}", file.display())]
    Local {
        /// The file.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}
