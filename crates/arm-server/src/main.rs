//! Entry point of arm-server.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use arm_server::{Args, serve};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<()> {
    // Fails only if a provider is installed already, which is equally good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let server = serve(Args::parse().config()?).await?;
    let line = serde_json::json!({"address": server.addr.to_string(), "url": server.url()});
    writeln!(std::io::stdout(), "{line}").context("failed to print the address")?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result.context("failed to listen for SIGINT")?,
    }
    server.shutdown().await;
    Ok(())
}
