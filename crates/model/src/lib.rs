//! Language models on the CPU: a directory in the Hugging Face layout in, logits out.
//!
//! [`Spec`] describes any supported family as data, and [`Decoder`] is the one forward pass for such descriptions. [`Tokenizer`] and
//! [`ChatTemplate`] turn texts into tokens and back.
//!
//! The crate knows nothing of HTTP, schedulers or clusters, and has no async code. Files are hostile until checked: sizes are bounded
//! before memory is allocated. Every failure is an [`Error`] that names the file and the field.

pub mod adapter;
pub mod cache;
pub mod chat;
pub mod config;
mod decoder;
mod error;
mod layer;
mod linear;
mod lora;
mod read;
pub mod sampling;
mod token_bytes;
mod tokenizer;
pub mod weights;

pub use adapter::Adapter;
pub use cache::{CacheFormat, KvCache};
pub use chat::ChatTemplate;
pub use config::{GenerationConfig, Spec};
pub use decoder::{Decoder, OutputMode, ProgressFn, Segment};
pub use error::{Error, Result};
pub use linear::Precision;
pub use lora::Lora;
pub use token_bytes::TokenBytes;
pub use tokenizer::{DecodeStream, Tokenizer};
pub use weights::TensorStore;
