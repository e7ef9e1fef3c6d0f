//! Tests of the crate against recordings of torch, transformers and PEFT, and with hostile files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its measurements"
)]

mod hostile;
mod lora;
mod parity;
mod templates;
mod token_bytes;
