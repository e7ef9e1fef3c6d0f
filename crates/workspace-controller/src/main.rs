//! Entry point of the workspace controller.

use clap::Parser as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    workspace_controller::run(workspace_controller::Args::parse()).await
}
