//! The program: the metrics server beside the run, signals, and how they end together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::job;
use crate::server::Shown;
use crate::train::Ended;

/// Tunes, and shows how far it is meanwhile. A stop by SIGTERM or SIGINT is an error, as nothing is finished then.
///
/// # Errors
/// When the configuration, the model or the data can't be used, memory does not suffice, a file can't be written, or the program
/// was stopped.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _guard = telemetry::init(&args.telemetry, "tuning-job")?;
    let (shown, stop) = (Shown::new(), Arc::new(AtomicBool::new(false)));
    let signals = stop_on_signal(Arc::clone(&stop))?;
    let address = SocketAddr::new(args.bind_address, args.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be bound"))?;
    tracing::info!(address = %listener.local_addr()?, "metrics");
    let router = shown.clone().router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let signals = tokio::spawn(signals);
    let tuning = tokio::task::spawn_blocking(move || job::run(&args, &shown, &stop));
    let ended = tuning.await.context("tuning broke off")?;
    serving.abort();
    signals.abort();
    match ended? {
        Ended::Completed => Ok(()),
        Ended::Stopped => anyhow::bail!("stopped before the end; a new run goes on from the last checkpoint"),
    }
}

/// Sets `stop` at the first signal. Signals are caught from this call on, before the first poll.
fn stop_on_signal(stop: Arc<AtomicBool>) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping after the batch at hand"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping after the batch at hand"),
        }
        stop.store(true, Ordering::Relaxed);
    })
}
