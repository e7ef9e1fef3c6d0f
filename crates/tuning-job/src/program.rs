//! The program: the run, the metrics server beside it, signals, and their common end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serve::StopSignals;

use crate::args::Args;
use crate::job;
use crate::status::JobStatus;
use crate::train::TrainOutcome;

/// Fine-tunes a model and serves the progress. A stop by SIGTERM or SIGINT is an error, because the result is incomplete.
///
/// # Errors
/// When the configuration, the model or the data is invalid, memory does not suffice, a file cannot be written, or the program
/// was stopped.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _guard = telemetry::init(&args.telemetry, "tuning-job")?;
    let (status, stop) = (JobStatus::new(), Arc::new(AtomicBool::new(false)));
    let signals = StopSignals::listen()?;
    let address = SocketAddr::new(args.bind_address, args.port);
    let listener = serve::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving metrics");
    let router = status.clone().router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let stopping = Arc::clone(&stop);
    let signals = tokio::spawn(async move {
        let signal = signals.first().await;
        tracing::info!(signal, "stopping after the current batch");
        stopping.store(true, Ordering::Relaxed);
    });
    let tuning = tokio::task::spawn_blocking(move || job::run(&args, &status, &stop));
    let outcome = tuning.await.context("the run panicked")?;
    serving.abort();
    signals.abort();
    match outcome? {
        TrainOutcome::Completed => Ok(()),
        TrainOutcome::Stopped => {
            anyhow::bail!("stopped before the last step; a new run continues from the last checkpoint")
        }
    }
}
