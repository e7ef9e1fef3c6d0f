//! Flags, examples and times of both demonstrations.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

/// Runs Workspaces on a cluster of their own.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Nodes: real ones of namespaces, which need root on Linux, or simulated ones.
    #[arg(long, value_enum)]
    pub(crate) nodes: DemoNodes,
    /// Leave everything running and print how to reach it; end it with Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Time to create an agent pool for simulated nodes, in seconds (a real GPU node takes 3 to 8 minutes).
    #[arg(long, default_value_t = 4.0)]
    pub(crate) pool_seconds: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DemoNodes {
    Real,
    Simulated,
}

/// The time limit of every wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn say(started: Instant, what: &str) {
    println!("[{:>5.1}s] {what}", started.elapsed().as_secs_f64());
}

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}
