//! Entry point of tuning-job.

use clap::Parser as _;
use tuning_job::Args;

/// Our images have the C library musl, whose own allocator makes the kernels wait for each other.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    tuning_job::run(Args::parse()).await
}
