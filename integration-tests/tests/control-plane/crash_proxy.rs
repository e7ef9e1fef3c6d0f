//! A proxy between one program and the API server. It counts the program's writes. After the n-th was applied, it kills
//! the program before the response arrives: the worst moment for a crash.
//!
//! Leases and Events are not counted: they carry no decision.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

use crate::proxy::{Listener, path, relay};

/// A running proxy.
pub(crate) struct CrashProxy {
    /// Plain-HTTP address for the program's kubeconfig.
    pub(crate) address: SocketAddr,
    /// Receives once, when the n-th write has been applied.
    pub(crate) struck: mpsc::Receiver<String>,
    _listener: Listener,
}

#[derive(Clone)]
struct Shared {
    client: kube::Client,
    writes: Arc<AtomicUsize>,
    strike_at: usize,
    strike: mpsc::Sender<String>,
}

impl CrashProxy {
    /// Forwards with `client`'s identity and strikes at the `strike_at`-th write.
    pub(crate) async fn start(client: kube::Client, strike_at: usize) -> anyhow::Result<Self> {
        let (strike, struck) = mpsc::channel(1);
        let shared = Shared {
            client,
            writes: Arc::default(),
            strike_at,
            strike,
        };
        let router = Router::new().fallback(forward).with_state(shared);
        let listener = Listener::start(router).await?;
        Ok(Self {
            address: listener.address,
            struck,
            _listener: listener,
        })
    }
}

async fn forward(State(shared): State<Shared>, request: Request) -> Response {
    match count(&shared, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn count(shared: &Shared, request: Request) -> anyhow::Result<Response> {
    let path = path(request.uri());
    let counted = request.method() != Method::GET && !path.contains("/leases") && !path.contains("/events");
    let line = format!("{} {path}", request.method());
    let response = relay(&shared.client, request).await?;
    if counted
        && response.status().is_success()
        && shared.writes.fetch_add(1, Ordering::SeqCst) + 1 == shared.strike_at
    {
        shared.strike.send(line).await?;
        // The program must not hear that its write was applied.
        std::future::pending::<()>().await;
    }
    Ok(response)
}
