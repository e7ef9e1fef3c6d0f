//! Tests of the crate against recordings of other programs, with hostile files, and of the program as a process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, and prints its measurements"
)]

mod hostile;
mod peft;
mod process;
mod quantized;
mod reference;
