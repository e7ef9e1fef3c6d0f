//! The adapter against the ARM server, over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail their test"
)]

mod faults;
mod harness;
mod identity;
mod lifecycle;
mod limits;
mod survey;
