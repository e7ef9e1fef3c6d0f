//! The file of a reader, and the receiver of its rows.

use std::fs::File;

use serde_json::{Map, Value};

use crate::data::error::DataError;
use crate::data::files::DataFile;

/// One row: columns by name.
pub type Row = Map<String, Value>;

/// Receiver of rows.
pub(super) type Each<'a> = &'a mut dyn FnMut(Row) -> Result<(), DataError>;

pub(super) fn malformed(file: &DataFile, problem: impl std::fmt::Display) -> DataError {
    DataError::Malformed {
        path: file.path.clone(),
        format: file.format.name(),
        problem: problem.to_string(),
    }
}

pub(super) fn open(file: &DataFile) -> Result<File, DataError> {
    File::open(&file.path).map_err(|source| failed_to_read(file, source))
}

pub(super) fn failed_to_read(file: &DataFile, source: std::io::Error) -> DataError {
    DataError::Io {
        path: file.path.clone(),
        source,
    }
}
