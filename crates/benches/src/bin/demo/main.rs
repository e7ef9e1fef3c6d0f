//! The demonstration: what a user sees, with the tools a user has.
//!
//! On real nodes a model answers from a pod; on simulated nodes three examples become ready. `cargo xtask demo` chooses.
//! Asserts only that it reaches its end.

#![allow(
    clippy::print_stdout,
    reason = "a demonstration talks to the person who runs it"
)]

mod common;
mod progress;
mod real;
mod simulated;
mod tools;

use std::time::Instant;

use anyhow::Result;
use clap::Parser as _;

use crate::common::{Args, DemoNodes};

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let started = Instant::now();
    match args.nodes {
        DemoNodes::Real => real::run(&args, started).await,
        DemoNodes::Simulated => simulated::run(&args, started).await,
    }
}
