//! llama.cpp's GGUF files → a directory in the Hugging Face layout.
//!
//! Layout of the file after the GGUF specification of ggml (versions 2 and 3, little endian). Quantised tensors are expanded
//! exactly; nothing is quantised again here.

mod blocks;
mod convert;
mod k_blocks;
mod parse;
mod vocabulary;

pub use convert::{Converted, convert};
