//! From files to batches of tokens.
//!
//! Files are hostile until read: rows are bounded, and so is what is kept of them. Rows pass through one by one; only tokens stay
//! in memory.

mod batches;
mod columns;
mod examples;
mod find;
mod rows;

use std::path::PathBuf;

pub use batches::{Order, packed};
pub use columns::Shape;
pub use examples::{Example, Examples, Texts};
pub use find::{DataFile, Kind, find};
pub use rows::read;

/// One row: columns by name.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// What is wrong with the data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no file that could be read.
    #[error("Unable to find a valid dataset file. {} holds no file whose name says parquet, json, jsonl or csv", path.display())]
    NoFile {
        /// Where was looked.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("Unable to load dataset {} with file type '{kind}': {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it was read as.
        kind: &'static str,
        /// What was found.
        problem: String,
    },
    /// A configured column does not exist.
    #[error("Column '{column}' does not exist in the dataset. Available columns: [{available}]")]
    NoColumn {
        /// As configured.
        column: String,
        /// What there is.
        available: String,
    },
    /// No columns that are known.
    #[error(
        "the dataset has neither a column `messages`, nor `prompt` and `completion`, nor `instruction` and `output` or `response`, \
         nor `{text}`. Available columns: [{available}]. Name yours with messages_column, or context_column and response_column"
    )]
    NoShape {
        /// The column with texts.
        text: String,
        /// What there is.
        available: String,
    },
    /// A row has something else than its column should have.
    #[error("row {row} of {}: column '{column}' {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Number of the row, from 1 on.
        row: usize,
        /// The column.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// The dataset does not fit.
    #[error("the dataset has more than {limit} tokens, which is more than is supported")]
    TooLarge {
        /// Most tokens.
        limit: usize,
    },
    /// Nothing to train on.
    #[error("the dataset leaves nothing to train on: {0}")]
    Nothing(String),
}
