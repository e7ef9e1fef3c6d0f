//! Problems with a dataset.

use std::path::PathBuf;

/// A problem with the data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No file of a known format exists.
    #[error("Unable to find a valid dataset file. {} holds no file whose name says parquet, json, jsonl or csv", path.display())]
    NoFile {
        /// The directory.
        path: PathBuf,
    },
    /// Reading a file failed.
    #[error("failed to read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file does not have the format that its name says.
    #[error("Unable to load dataset {} with file type '{format}': {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The expected format.
        format: &'static str,
        /// The problem.
        problem: String,
    },
    /// A configured column does not exist.
    #[error("Column '{column}' does not exist in the dataset. Available columns: [{available}]")]
    NoColumn {
        /// The configured column.
        column: String,
        /// The existing columns.
        available: String,
    },
    /// No column has a known name.
    #[error(
        "the dataset has neither a column `messages`, nor `prompt` and `completion`, nor `instruction` and `output` or `response`, \
         nor `{text}`. Available columns: [{available}]. Name yours with messages_column, or context_column and response_column"
    )]
    UnknownFormat {
        /// The column with texts.
        text: String,
        /// The existing columns.
        available: String,
    },
    /// A row has an unexpected value in a column.
    #[error("row {row} of {}: column '{column}' {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Number of the row, from 1 on.
        row: usize,
        /// The column.
        column: String,
        /// The problem.
        problem: String,
    },
    /// The dataset has too many tokens.
    #[error("the dataset must have at most {limit} tokens")]
    TooLarge {
        /// Largest number of tokens.
        limit: usize,
    },
    /// No example is left.
    #[error("the dataset leaves nothing to train on: {0}")]
    Nothing(String),
}
