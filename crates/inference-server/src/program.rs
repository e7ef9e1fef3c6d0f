//! The program: listener, loading beside it, signals, and a graceful end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use serve::{Connections, Limits, Reloaded, StopSignals};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{self, App};
use crate::args::Args;
use crate::drain;
use crate::engine::FinishReason;
use crate::grammar::Constraint;
use crate::load::{self, ServerPhase, SharedPhase, hub};
use crate::metrics::Metrics;
use crate::proxy::{self, Proxy};
use crate::security::Security;
use crate::settings::{Backend, ModelSettings, ServerSettings};

/// Time for the TLS handshake, or for the first byte of plain text.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for the headers of a request, also of the next one on an open connection: longer than clients keep idle ones.
const HEADERS: Duration = Duration::from_secs(75);

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
        max_connections: settings.max_connections,
    };
    let model = match settings.backend {
        Backend::Proxy(proxied) => {
            let router = proxy::router(Proxy::new(&proxied, phase, settings.stall)?);
            return drain::serve_beside(proxied.drain.as_ref(), &stop, server.run(router)).await;
        }
        Backend::Model(model) => *model,
    };
    let finish_reasons = FinishReason::ALL.map(FinishReason::as_str);
    let registry = telemetry::Metrics::new();
    registry.build_info("inference-server", env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::new(
        &registry,
        &model.load.served_name,
        &finish_reasons,
        &Constraint::KINDS,
    );
    let router = api::router(App::new(phase.clone(), metrics.clone(), settings.stall));
    let loading = async {
        // The server answers probes while the model loads. A stop does not wait for the load.
        let loaded = tokio::select! {
            loaded = load_model(model, metrics, phase) => loaded,
            () = stop.cancelled() => return Ok(()),
        };
        let ended = match loaded {
            Ok(engine_ended) => watch_engine(&engine_ended, &stop).await,
            Err(error) => Err(error),
        };
        if ended.is_err() {
            stop.cancel();
        }
        ended
    };
    let (loaded, served) = tokio::join!(loading, server.run(router));
    loaded.and(served)
}

/// Waits for a stop, and reports an engine that ended before it: a server without one must be restarted.
async fn watch_engine(engine_ended: &CancellationToken, stop: &CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        // At a stop the engine ends too.
        biased;
        () = stop.cancelled() => Ok(()),
        () = engine_ended.cancelled() => {
            anyhow::bail!("the thread of the engine has ended, so no request can be answered: see the log before this line")
        }
    }
}

/// Loads the model. Returns a token that is canceled when its engine has ended.
async fn load_model(
    settings: ModelSettings,
    metrics: Metrics,
    phase: SharedPhase,
) -> anyhow::Result<CancellationToken> {
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
    let engine_ended = model.engine.ended();
    phase.set(ServerPhase::Ready(Arc::new(model)));
    Ok(engine_ended)
}

/// The listener and everything that it needs to serve a router.
struct HttpServer {
    listener: TcpListener,
    security: Security,
    phase: SharedPhase,
    stop: CancellationToken,
    drain_timeout: Duration,
    max_connections: usize,
}

impl HttpServer {
    async fn run(self, router: Router) -> anyhow::Result<()> {
        let Self {
            listener,
            security,
            phase,
            stop,
            drain_timeout,
            max_connections,
        } = self;
        let router = security.protect(router);
        let limits = Limits {
            connections: max_connections,
            // A load balancer in front of the server is one address.
            per_peer: None,
            handshake: HANDSHAKE,
        };
        let encryption = security.encryption.as_ref().map(Reloaded::subscribe);
        let connections = Connections::accept(listener, encryption, limits, || ());
        let draining = async {
            stop.cancelled().await;
            phase.set(ServerPhase::Draining);
            std::future::pending::<Infallible>().await
        };
        let serving = serve::http(connections, router, HEADERS, stop.clone());
        let served = tokio::select! {
            served = serve::with_grace(serving, &stop, drain_timeout) => served,
            never = draining => match never {},
        };
        if served.is_none() {
            tracing::warn!(
                seconds = drain_timeout.as_secs(),
                "cut off open requests at the end of the drain timeout"
            );
        }
        Ok(())
    }
}

/// Cancels `stop` at the first signal, and then waits forever.
async fn stop_on(signals: StopSignals, stop: CancellationToken) -> Infallible {
    let signal = signals.first().await;
    tracing::info!(signal, "stopping");
    stop.cancel();
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_ends_before_a_stop_is_an_error() {
        let (engine, stop) = (CancellationToken::new(), CancellationToken::new());
        engine.cancel();
        let error = watch_engine(&engine, &stop).await.unwrap_err().to_string();
        assert!(error.contains("engine has ended"), "{error}");
        stop.cancel();
        assert!(watch_engine(&engine, &stop).await.is_ok());
    }
}
