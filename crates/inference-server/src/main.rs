//! Entry point of inference-server.

use clap::Parser as _;
use inference_server::Args;

/// Our images have the C library musl, whose own allocator makes the kernels wait for each other.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    inference_server::run(Args::parse()).await
}
