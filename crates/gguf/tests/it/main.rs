//! Conversions of hostile files, and of a real model whose results are compared with torch's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it fetches"
)]

mod hostile;
mod real_model;
