//! From what a model hub says about a model to its preset, by the rules of the catalog.
//!
//! Reads texts: the hub's answer about the model, `config.json`, `generation_config.json` and the index of the
//! weight files. They come from strangers, so nothing in them is believed before it is checked, and nothing is
//! kept that is not needed. This crate asks no hub and reads no files.

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

/// What a hub says that no preset can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Not of the form `owner/repository` in the hub's alphabet.
    #[error("`{0}` is not of the form owner/repository")]
    BadId(String),
    /// Not a commit.
    #[error("the hub names the revision `{0}`, which is not a commit")]
    BadRevision(String),
    /// A file is not the JSON it should be.
    #[error("{file} cannot be read: {message}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// What is wrong, with the position.
        message: String,
    },
    /// A file lacks what sizing needs.
    #[error("{file} does not say {what}")]
    Missing {
        /// The file.
        file: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// A number is out of any sensible range.
    #[error("{file} has {value} as {what}, which cannot be")]
    Absurd {
        /// The file.
        file: &'static str,
        /// What it is said to be.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// The model does not generate text token by token.
    #[error("the architecture `{0}` is not one that generates text, so no engine here can serve it")]
    NotGenerative(String),
    /// No weight files that an engine could load.
    #[error("the repository holds no weights in a form that can be loaded (safetensors or PyTorch)")]
    NoWeights,
    /// More weight files than any model has.
    #[error("the repository holds {0} weight files, which is more than any model has")]
    TooManyFiles(usize),
    /// The facts break a rule that every preset must keep.
    #[error(transparent)]
    Facts(#[from] preset_catalog::FactsError),
}
