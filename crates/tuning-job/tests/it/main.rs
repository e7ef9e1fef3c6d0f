//! Tests of the crate against what other programs recorded, and of the program as a process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail their test"
)]

mod peft;
mod process;
mod quantised;
mod reference;
