//! Errors of a model's files and of requests to it.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A problem and its place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading a file failed.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The content of a file is malformed or not supported.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A field of `config.json` is missing, of a wrong type or out of bounds.
    #[error("config.json: `{field}` {problem}")]
    Config {
        /// Name of the field.
        field: String,
        /// The problem.
        problem: String,
    },
    /// The weights lack a tensor.
    #[error(
        "the weights lack tensor `{name}`: all shards must be present, and config.json must belong to them"
    )]
    MissingTensor {
        /// Name of the tensor.
        name: String,
    },
    /// The shape of a tensor differs from the configuration.
    #[error("tensor `{name}` has shape {found:?}, config.json asks for {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// An adapter is malformed, or does not fit the model.
    #[error("adapter `{name}`: {problem}")]
    Adapter {
        /// Name of the adapter.
        name: String,
        /// The problem.
        problem: String,
    },
    /// The tokenizer failed.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// The chat template is malformed, or refuses the conversation.
    #[error("failed to render the chat template: {0}")]
    Template(String),
    /// A token is outside the vocabulary.
    #[error("token {token} must be below the vocabulary size {vocab_size}")]
    Token {
        /// The token.
        token: u32,
        /// Number of tokens.
        vocab_size: usize,
    },
    /// A sequence is too long.
    #[error("{length} positions exceed the limit of {limit}")]
    TooLong {
        /// Positions of the sequence.
        length: usize,
        /// Limit of the model and the cache.
        limit: usize,
    },
}

impl Error {
    pub(crate) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    pub(crate) fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config {
            field: field.into(),
            problem: problem.into(),
        }
    }
}
