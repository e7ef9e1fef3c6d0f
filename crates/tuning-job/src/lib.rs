//! Fine-tunes a language model on the CPU: `training_config.yaml` and a dataset in, a LoRA adapter in PEFT's format out.
//!
//! [`config`] and [`data`] read the input, [`network`] is the model with hand-written gradients, and [`train`] updates the LoRA
//! matrices step by step. Only `program` and `status` know signals and sockets.

mod args;
pub mod config;
pub mod data;
mod job;
pub mod network;
mod program;
mod status;
pub mod train;

pub use args::Args;
pub use program::run;
