//! Language models on the CPU: a directory in the Hugging Face layout in, logits out.
//!
//! [`Spec`] describes any supported family as data, [`Decoder`] is the one forward pass that carries such a description out,
//! [`Tokenizer`] and [`ChatTemplate`] turn texts into tokens and back.
//!
//! The crate knows nothing of HTTP, schedulers or clusters, and has no async code. Files are hostile until checked: sizes
//! are bounded before memory is taken for them, and every failure is an [`Error`] that names the file and the field.

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
mod spelling;
mod tokenizer;
pub mod weights;

pub use adapter::Adapter;
pub use cache::KvCache;
pub use chat::ChatTemplate;
pub use config::{GenerationConfig, Spec};
pub use decoder::{Decoder, OutputMode, Progress, Segment};
pub use error::{Error, Result};
pub use linear::Precision;
pub use lora::Lora;
pub use spelling::TokenBytes;
pub use tokenizer::{DecodeStream, Tokenizer};
pub use weights::TensorStore;
