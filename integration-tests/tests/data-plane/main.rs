//! The programs of the data plane together, as processes: fetch, tune, push, pull, serve. No cluster is needed.
//!
//! Needs the programs built, Debian's `docker-registry`, and pip for the example model (see `gguf::example`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail their test"
)]

mod adapters;
mod circle;
