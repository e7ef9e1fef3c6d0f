//! Entry point of tuning-job.

use clap::Parser as _;
use tuning_job::Args;

#[tokio::main(worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    tuning_job::run(Args::parse()).await
}
