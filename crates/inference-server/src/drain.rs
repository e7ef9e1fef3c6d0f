//! The requested end of a proxy: the other containers of its pod end after it, so they ask it to finish first.
//!
//! A kubelet stops the containers of a pod before its sidecars. Without this, the engine would end in the middle of its
//! completions, while the proxy before it still accepts requests.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::settings::DrainSettings;

#[derive(Clone, Debug)]
struct Drain {
    delay: Duration,
    stop: CancellationToken,
    drained: CancellationToken,
}

/// Runs a server, and beside it the address at which its end can be requested.
pub(crate) async fn serve_beside(
    settings: Option<&DrainSettings>,
    stop: &CancellationToken,
    server: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let Some(settings) = settings else {
        return server.await;
    };
    ensure!(
        settings.address.ip().is_loopback(),
        "--drain-address must be a loopback address, not {}: it ends the server",
        settings.address
    );
    let listener = TcpListener::bind(settings.address)
        .await
        .with_context(|| format!("failed to listen at --drain-address {}", settings.address))?;
    let drained = CancellationToken::new();
    let drain = Drain {
        delay: settings.delay,
        stop: stop.clone(),
        drained: drained.clone(),
    };
    let router = Router::new().route("/drain", get(handle)).with_state(drain);
    let listening = axum::serve(listener, router).with_graceful_shutdown(drained.clone().cancelled_owned());
    let server = async {
        let served = server.await;
        drained.cancel();
        served
    };
    let (listened, served) = tokio::join!(listening, server);
    served.and(listened.context("failed to serve --drain-address"))
}

/// Ends the server, and answers after its last response.
async fn handle(State(drain): State<Drain>) -> &'static str {
    tracing::info!(delay_seconds = drain.delay.as_secs(), "draining");
    tokio::time::sleep(drain.delay).await;
    drain.stop.cancel();
    drain.drained.cancelled().await;
    "drained"
}
