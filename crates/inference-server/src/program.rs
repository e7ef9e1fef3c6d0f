//! The program: listener, loading beside it, signals, and a graceful end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use serve::{Connections, Limits, StopSignals};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{self, App};
use crate::args::Args;
use crate::engine::FinishReason;
use crate::grammar::Constraint;
use crate::load::{self, ServerPhase, SharedPhase, hub};
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::security::Security;
use crate::settings::{Backend, ModelSettings, ServerSettings};

/// Concurrent TLS handshakes, and the time for one.
const HANDSHAKES: Limits = Limits {
    connections: 256,
    // A load balancer in front of the server is one address.
    per_peer: None,
    handshake: Duration::from_secs(10),
};

/// Runs the program until SIGTERM or SIGINT.
///
/// # Errors
/// Flags or files cannot be used, the address cannot be bound, or the model cannot be loaded.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _guard = telemetry::init(&args.telemetry, "inference-server")?;
    // This fails only if another provider is installed already, which is fine too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = CancellationToken::new();
    let signals = StopSignals::listen()?;
    let settings = args.settings()?;
    let listener = bind(&settings).await?;
    tokio::select! {
        result = serve(settings, listener, stop.clone()) => result,
        never = stop_on(signals, stop) => match never {},
    }
}

/// Binds the address of the settings.
///
/// # Errors
/// The address cannot be bound.
pub async fn bind(settings: &ServerSettings) -> anyhow::Result<TcpListener> {
    Ok(serve::bind(settings.address).await?)
}

/// Serves until `stop`, and then until all responses are sent or the drain timeout is over.
///
/// # Errors
/// The model cannot be loaded, or the server fails.
pub async fn serve(
    settings: ServerSettings,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let security = Security::open(&settings.security)?;
    tracing::info!(address = %listener.local_addr()?, tls = security.encryption.is_some(), "listening");
    let phase = SharedPhase::new();
    let server = HttpServer {
        listener,
        security,
        phase: phase.clone(),
        stop: stop.clone(),
        drain_timeout: settings.drain_timeout,
    };
    let model = match settings.backend {
        Backend::Proxy(settings) => return server.run(Proxy::new(&settings)?.router()).await,
        Backend::Model(model) => *model,
    };
    let finish_reasons = FinishReason::ALL.map(FinishReason::as_str);
    let metrics = Metrics::new(&telemetry::Metrics::new(), &finish_reasons, &Constraint::KINDS);
    let router = api::router(App::new(phase.clone(), metrics.clone()));
    let loading = async {
        // The server answers probes while the model loads. A stop does not wait for the load.
        let loaded = tokio::select! {
            loaded = load_model(model, metrics, phase) => loaded,
            () = stop.cancelled() => Ok(()),
        };
        if loaded.is_err() {
            stop.cancel();
        }
        loaded
    };
    let (loaded, served) = tokio::join!(loading, server.run(router));
    loaded.and(served)
}

async fn load_model(settings: ModelSettings, metrics: Metrics, phase: SharedPhase) -> anyhow::Result<()> {
    if let Some(hub) = &settings.hub {
        hub::provide(hub, &metrics, &phase).await?;
    }
    let progress = phase.clone();
    let loading = tokio::task::spawn_blocking(move || {
        load::load(&settings.load, &metrics, &|fraction| {
            progress.set(ServerPhase::Loading(fraction));
        })
    });
    let model = loading.await.context("failed to load the model")??;
    phase.set(ServerPhase::Ready(Arc::new(model)));
    Ok(())
}

/// The listener and everything that it needs to serve a router.
struct HttpServer {
    listener: TcpListener,
    security: Security,
    phase: SharedPhase,
    stop: CancellationToken,
    drain_timeout: Duration,
}

impl HttpServer {
    async fn run(self, router: Router) -> anyhow::Result<()> {
        let Self {
            listener,
            security,
            phase,
            stop,
            drain_timeout,
        } = self;
        let router = security.protect(router);
        let draining = {
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                phase.set(ServerPhase::Draining);
            }
        };
        let serving = async {
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
        match serve::with_grace(serving, &stop, drain_timeout).await {
            Some(served) => served.context("failed to serve"),
            None => {
                tracing::warn!(
                    seconds = drain_timeout.as_secs(),
                    "cut off open requests at the end of the drain timeout"
                );
                Ok(())
            }
        }
    }
}

/// Cancels `stop` at the first signal, and then waits forever.
async fn stop_on(signals: StopSignals, stop: CancellationToken) -> Infallible {
    let signal = signals.first().await;
    tracing::info!(signal, "stopping");
    stop.cancel();
    std::future::pending().await
}
