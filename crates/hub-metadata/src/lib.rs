//! Converts a model hub's files about a model to a preset, by the rules of the catalog.
//!
//! Parses texts: the hub's response about the model, `config.json`, `generation_config.json` and the index of the weights.
//! They are untrusted, so everything is checked and nothing else is kept. This crate makes no requests and reads no files.

mod config;
mod id;
mod info;
mod lenient;
mod sources;
mod weights;

pub use id::{HubId, Revision};
pub use info::ModelInfo;
pub use sources::Sources;
pub use weights::{WeightFiles, index_total};

/// Files of a hub that no preset can be built from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not of the form `owner/repository` in the hub's alphabet.
    #[error("expected owner/repository, not `{0}`")]
    BadId(String),
    /// Not a commit.
    #[error("expected a commit from the hub, not the revision `{0}`")]
    BadRevision(String),
    /// A file is not the expected JSON.
    #[error("failed to parse {file}: {message}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// The problem, with its position.
        message: String,
    },
    /// A file lacks a fact that sizing needs.
    #[error("{file} must have {what}")]
    Missing {
        /// The file.
        file: &'static str,
        /// The missing fact.
        what: &'static str,
    },
    /// A number is out of range.
    #[error("{what} in {file} must be from 1 to {most}, not {value}")]
    Absurd {
        /// The file.
        file: &'static str,
        /// The meaning of the number.
        what: &'static str,
        /// The number.
        value: u64,
        /// The highest plausible number.
        most: u64,
    },
    /// The model does not generate text token by token.
    #[error("the architecture `{0}` is not one that generates text, so no engine can serve it")]
    NotGenerative(String),
    /// The repository has no weight files that an engine can load.
    #[error("the repository holds no weights in a supported format (safetensors or PyTorch)")]
    NoWeights,
    /// The repository has more weight files than any model.
    #[error("the repository holds {0} weight files, more than any model has")]
    TooManyFiles(usize),
    /// The facts break a rule that every preset must keep.
    #[error(transparent)]
    Facts(#[from] preset_catalog::FactsError),
}
