//! Helpers that the tests of several areas share; the tests are in `tests`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail their test"
)]

mod metrics;
pub mod programs;
pub mod tuning;

pub use metrics::{charted_metrics, exported_metrics};
