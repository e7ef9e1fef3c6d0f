//! A generated file, before it is written.

use std::path::PathBuf;

/// A file with the contents it should have; the path is relative to the root of the repository.
#[derive(Debug)]
pub(crate) struct Generated {
    pub(crate) path: PathBuf,
    pub(crate) contents: String,
}
