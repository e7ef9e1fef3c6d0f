//! Entry point of the gpu-provisioner.

use clap::Parser as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    gpu_provisioner::run(gpu_provisioner::Args::parse()).await
}
