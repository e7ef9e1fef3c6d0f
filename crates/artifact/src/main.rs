//! Entry point of the artifact tool.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(artifact::run(artifact::Args::parse()).await)
}
