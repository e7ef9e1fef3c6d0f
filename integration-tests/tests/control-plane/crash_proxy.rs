//! A proxy between one program and the API server. It counts the program's writes. After the n-th was applied, it kills
//! the program before the response arrives: the worst moment for a crash.
//!
//! Leases and Events are not counted: they carry no decision.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;

/// A running proxy.
pub(crate) struct CrashProxy {
    /// Plain-HTTP address for the program's kubeconfig.
    pub(crate) address: SocketAddr,
    /// Receives once, when the n-th write has been applied.
    pub(crate) struck: mpsc::Receiver<String>,
    task: tokio::task::JoinHandle<()>,
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
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(forward).with_state(shared);
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            struck,
            task,
        })
    }
}

impl Drop for CrashProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(State(shared): State<Shared>, request: Request) -> Response {
    match relay(&shared, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn relay(shared: &Shared, request: Request) -> anyhow::Result<Response> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    let counted = parts.method != Method::GET && !path.contains("/leases") && !path.contains("/events");
    let line = format!("{} {path}", parts.method);
    parts.uri = path.parse()?;
    for name in [header::HOST, header::AUTHORIZATION, header::ACCEPT_ENCODING] {
        parts.headers.remove(name);
    }
    let body = axum::body::to_bytes(body, 8 << 20).await?;
    let request = axum::http::Request::from_parts(parts, kube::client::Body::from(body));
    let response = shared.client.send(request).await?;
    if counted
        && response.status().is_success()
        && shared.writes.fetch_add(1, Ordering::SeqCst) + 1 == shared.strike_at
    {
        shared.strike.send(line).await?;
        // The program must not hear that its write was applied.
        std::future::pending::<()>().await;
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, Body::new(body)))
}
