//! The program: listener, loading beside it, signals, and how they end together.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use serve::{Connections, Limits, StopSignals};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{self, App};
use crate::args::Args;
use crate::load::phase::{Phase, State};
use crate::load::{self, config_file, hub};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::security::Security;

/// TLS handshakes at a time, and the time for one.
const HANDSHAKES: Limits = Limits {
    connections: 256,
    handshake: Duration::from_secs(10),
};

/// Runs the program until SIGTERM or SIGINT.
///
/// # Errors
/// When flags or files cannot be used, the address cannot be bound, or the model cannot be loaded.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _guard = telemetry::init(&args.telemetry, "inference-server")?;
    // Fails only when a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = CancellationToken::new();
    let signals = StopSignals::listen()?;
    let args = config_file::complete(args)?;
    let listener = bind(&args).await?;
    tokio::select! {
        result = serve(args, listener, stop.clone()) => result,
        never = stop_on(signals, stop) => match never {},
    }
}

/// Binds the address that flags name.
///
/// # Errors
/// When the address is taken.
pub async fn bind(args: &Args) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(args.bind_address, args.port.saturating_add(args.local_rank));
    Ok(serve::bind(address).await?)
}

/// Serves until `stop`, and then until all answers are given or the time for that is over.
///
/// # Errors
/// When the model cannot be loaded or the server fails.
pub async fn serve(args: Args, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
    let state = State::new();
    let drain = Duration::from_secs(args.drain_seconds);
    let security = Security::open(&args)?;
    tracing::info!(
        address = %listener.local_addr()?, model = args.served_name(), tls = security.encryption.is_some(), "listening"
    );
    if let Some(url) = &args.engine_url {
        let router = security.guard(Proxy::new(url, args.pipeline)?.router());
        return answer(listener, &security, router, &state, stop, drain).await;
    }
    let metrics = Metrics::new(&telemetry::Metrics::new());
    let router = security.guard(api::router(App::new(state.clone(), metrics.clone())));
    let loading = load_model(args, metrics, state.clone());
    let answering = answer(listener, &security, router, &state, stop.clone(), drain);
    let (loaded, answered) = tokio::join!(
        async {
            // Probes are answered while the model is loaded; a stop does not wait for it.
            let loaded = tokio::select! {
                loaded = loading => loaded,
                () = stop.cancelled() => Ok(()),
            };
            if loaded.is_err() {
                stop.cancel();
            }
            loaded
        },
        answering
    );
    loaded.and(answered)
}

async fn load_model(args: Args, metrics: Metrics, state: State) -> anyhow::Result<()> {
    hub::provide(&args, &metrics, &state).await?;
    let told = state.clone();
    let loading = tokio::task::spawn_blocking(move || {
        load::load(&args, &metrics, &|share| told.set(Phase::Loading(share)))
    });
    let served = loading.await.context("loading broke off")??;
    state.set(Phase::Ready(std::sync::Arc::new(served)));
    Ok(())
}

async fn answer(
    listener: TcpListener,
    security: &Security,
    router: Router,
    state: &State,
    stop: CancellationToken,
    drain: Duration,
) -> anyhow::Result<()> {
    let draining = {
        let (state, stop) = (state.clone(), stop.clone());
        async move {
            stop.cancelled().await;
            state.set(Phase::Draining);
        }
    };
    let served = async {
        match &security.encryption {
            Some(encryption) => {
                let listener =
                    Connections::accept(listener, Some(encryption.subscribe()), HANDSHAKES, || ())?;
                axum::serve(listener, router)
                    .with_graceful_shutdown(draining)
                    .await
            }
            None => {
                axum::serve(listener, router)
                    .with_graceful_shutdown(draining)
                    .await
            }
        }
    };
    match serve::with_grace(served, &stop, drain).await {
        Some(served) => served.context("the server failed"),
        None => {
            tracing::warn!(
                seconds = drain.as_secs(),
                "cut off open requests at the end of the drain time"
            );
            Ok(())
        }
    }
}

/// Cancels `stop` at the first signal, and waits for ever after that.
async fn stop_on(signals: StopSignals, stop: CancellationToken) -> Infallible {
    let signal = signals.first().await;
    tracing::info!(signal, "stopping");
    stop.cancel();
    std::future::pending().await
}
