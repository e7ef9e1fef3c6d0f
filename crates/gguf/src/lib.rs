//! Converts GGUF files of llama.cpp to directories in the Hugging Face layout.
//!
//! The layout of the file follows the GGUF specification of ggml (versions 2 and 3, little endian). Quantized tensors are
//! expanded exactly; nothing is quantized again here.
//!
//! No shipped program uses this crate: it serves users who prepare a directory, benchmarks and tests (see [`example`]).

mod blocks;
mod convert;
mod error;
pub mod example;
mod ggml_type;
mod header;
mod k_blocks;
mod tokenizer;

pub use convert::{Converted, convert};
pub use error::{GgufError, Result};
