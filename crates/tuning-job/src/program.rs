//! The program: the metrics server beside the run, signals, and how they end together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serve::StopSignals;

use crate::args::Args;
use crate::job;
use crate::server::Shown;
use crate::train::Ended;

/// Tunes, and shows how far it is meanwhile. A stop by SIGTERM or SIGINT is an error, as nothing is finished then.
///
/// # Errors
/// When the configuration, the model or the data cannot be used, memory does not suffice, a file cannot be written, or the program
/// was stopped.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _guard = telemetry::init(&args.telemetry, "tuning-job")?;
    let (shown, stop) = (Shown::new(), Arc::new(AtomicBool::new(false)));
    let signals = StopSignals::listen()?;
    let address = SocketAddr::new(args.bind_address, args.port);
    let listener = serve::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "metrics");
    let router = shown.clone().router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let stopping = Arc::clone(&stop);
    let signals = tokio::spawn(async move {
        let signal = signals.first().await;
        tracing::info!(signal, "stopping after the batch at hand");
        stopping.store(true, Ordering::Relaxed);
    });
    let tuning = tokio::task::spawn_blocking(move || job::run(&args, &shown, &stop));
    let ended = tuning.await.context("tuning broke off")?;
    serving.abort();
    signals.abort();
    match ended? {
        Ended::Completed => Ok(()),
        Ended::Stopped => anyhow::bail!("stopped before the end; a new run goes on from the last checkpoint"),
    }
}
