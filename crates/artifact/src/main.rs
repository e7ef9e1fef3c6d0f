//! Entry point of the artifact tool.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ExitCode::from(artifact::run(artifact::Args::parse()).await)
}
