//! Entry point of preset-registry.

use clap::Parser as _;
use preset_registry::Args;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Box::pin(preset_registry::run(Args::parse())).await
}
