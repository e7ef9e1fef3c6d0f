//! What can be wrong with a model's files or with a request to it.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was found, and what is needed.
        problem: String,
    },
    /// A field of `config.json` is missing, of a wrong type or out of bounds.
    #[error("config.json: `{field}` {problem}")]
    Config {
        /// Name of the field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The weights lack a tensor.
    #[error(
        "the weights hold no tensor `{name}`: are all shards there, and does config.json belong to them?"
    )]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("tensor `{name}` has shape {found:?}, config.json asks for {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
    /// An adapter cannot be merged.
    #[error("adapter `{name}`: {problem}")]
    Adapter {
        /// Name of the adapter.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tokenizer failed.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// A chat template cannot be parsed, or refuses the conversation.
    #[error("the chat template refuses the conversation: {0}")]
    Template(String),
    /// A token that the model does not have.
    #[error("token {token} is outside the vocabulary of {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// Number of tokens.
        vocabulary: usize,
    },
    /// More positions than the model knows.
    #[error("{wanted} positions are more than the model's {limit}")]
    TooLong {
        /// Positions asked for.
        wanted: usize,
        /// Positions the model knows.
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
