//! Arithmetic of language models over slices, written once and run with the widest vectors of the processor.
//!
//! Operations that training needs have their gradients beside them. The crate knows no model and reads no files.
//!
//! The order of every sum depends on sizes alone. A sequence gets the same logits alone and in a batch. A training step gives
//! the same bits however many threads share it, so a resumed run equals an uninterrupted one.
//!
//! [`packed`] multiplies activations with weights that were packed when a model was loaded, for serving. [`matmul`] packs both
//! operands for each product, for training.

mod activation;
pub mod attention;
mod bf16;
mod cross_entropy;
pub mod lora;
pub mod matmul;
mod norm;
pub mod packed;
mod random;
mod reduce;
mod rope;

pub use activation::{Activation, gated_activation, gated_activation_backward};
pub use cross_entropy::CrossEntropy;
pub use norm::{rms_norm, rms_norm_backward, rms_norm_row, rms_norm_row_backward};
pub use random::Random;
pub use reduce::softcap;
pub use rope::{rotate, rotate_backward};

/// Tokens that a thread takes at once.
const TOKENS_PER_TASK: usize = 16;
