//! The files of a model on a hub: which ones an engine needs, the hub's facts about each, and their download.
//!
//! `egress` makes the requests and checks the checksums. This crate does not know what is in the files, apart from the index
//! that lists the weights.

mod error;
mod files;
mod model_files;
mod repository;

pub use error::{Error, Result};
pub use files::Selection;
pub use model_files::ModelFiles;
pub use repository::{Repository, RepositorySettings};
