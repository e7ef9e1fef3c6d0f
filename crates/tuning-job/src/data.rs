//! From files to batches of tokens.
//!
//! Files are hostile until read: rows are bounded, and so is the memory for them. Rows pass through one by one; only tokens stay
//! in memory.

mod error;
mod examples;
mod files;
mod format;
mod rows;
mod sampler;

pub use error::DataError;
pub use examples::Example;
pub(crate) use examples::{ExampleEncoder, Examples};
pub use files::{DataFile, FileFormat, find_files};
pub use format::DatasetFormat;
pub use rows::{Row, read};
pub use sampler::{BatchSampler, batch_of, pack};
