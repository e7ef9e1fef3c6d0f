//! Entry point of the kubectl plugin: `kubectl kaito`.

use std::process::ExitCode;

use clap::Parser as _;
use kubectl_kaito::Args;

#[tokio::main]
async fn main() -> ExitCode {
    // Usage errors end here, with code 2.
    kubectl_kaito::run(Args::parse()).await
}
