//! Entry point of inference-server.

use clap::Parser as _;
use inference_server::Args;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    inference_server::run(Args::parse()).await
}
