//! Lookups in the preset registry, beside a bare tonic server that sends the same bytes in the same run. Then the cost of a
//! thousand watchers while the catalog is reloaded a hundred times.
//!
//! Both servers are processes of their own. Prints figures and ratios; judges nothing.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod lookups;
mod process;
mod watching;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use crate::lookups::Load;
use crate::process::Server;

/// Measures the preset registry.
#[derive(Debug, Parser)]
struct Args {
    /// Seconds of each round of lookups.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds, each with both servers.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections over which is looked up.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Lookups in flight, over all connections.
    #[arg(long, default_value_t = 32)]
    in_flight: usize,
    /// Subscribers of `WatchPresets`.
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Reloads that they watch.
    #[arg(long, default_value_t = 100)]
    reloads: usize,
    /// Serves the bare answers at this address instead of measuring.
    #[arg(long, hide = true)]
    serve_bare: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(address) = args.serve_bare {
        return bare::serve(address).await;
    }
    let load = Load {
        time: Duration::from_secs(args.seconds),
        connections: args.connections,
        in_flight: args.in_flight,
    };
    lookups::compare(&load, args.rounds).await?;
    watching::measure(args.subscribers, args.reloads).await
}
