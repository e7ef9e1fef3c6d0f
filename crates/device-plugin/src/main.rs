//! The program: see the library.

use clap::Parser as _;
use device_plugin::Args;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    device_plugin::run(Args::parse()).await
}
