//! Fine-tunes a language model on the CPU: `training_config.yaml` and a dataset in, a LoRA adapter in PEFT's format out.
//!
//! [`config`] and [`data`] say what is to be learnt, [`network`] is the model with its derivatives by hand, [`train`] moves the
//! factors step by step. Deciding and computing code knows no signals and no network; those are in `program` and `server` only.

mod args;
pub mod config;
pub mod data;
mod job;
pub mod network;
mod program;
mod server;
pub mod train;

pub use args::Args;
pub use program::run;
