//! A slow network, as a proxy between one program and the API server. It holds writes of claims back, and forwards them
//! long after the program gave them up.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, watch};

use crate::proxy::{Listener, relay};

/// A running proxy.
pub(crate) struct HoldingProxy {
    /// Plain-HTTP address for the program's kubeconfig.
    pub(crate) address: SocketAddr,
    /// Receives the line of each request that is held.
    pub(crate) held: mpsc::UnboundedReceiver<String>,
    /// Receives status and body of the response to each request that was held.
    pub(crate) answered: mpsc::UnboundedReceiver<(StatusCode, String)>,
    release: watch::Sender<bool>,
    _listener: Listener,
}

struct Shared {
    client: kube::Client,
    held: mpsc::UnboundedSender<String>,
    answered: mpsc::UnboundedSender<(StatusCode, String)>,
    released: watch::Receiver<bool>,
    method: Method,
}

impl HoldingProxy {
    /// Forwards with `client`'s identity. Requests with this method on a Machine wait until [`HoldingProxy::release`].
    pub(crate) async fn start(client: kube::Client, method: Method) -> anyhow::Result<Self> {
        let (held_sender, held) = mpsc::unbounded_channel();
        let (answered_sender, answered) = mpsc::unbounded_channel();
        let (release, released) = watch::channel(false);
        let shared = Arc::new(Shared {
            client,
            held: held_sender,
            answered: answered_sender,
            released,
            method,
        });
        let router = Router::new().fallback(forward).with_state(shared);
        let listener = Listener::start(router).await?;
        Ok(Self {
            address: listener.address,
            held,
            answered,
            release,
            _listener: listener,
        })
    }

    /// Forwards everything that is held, and everything later at once.
    pub(crate) fn release(&self) {
        self.release.send_replace(true);
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let is_claim = *request.method() == shared.method && is_machine(request.uri().path());
    let result = if is_claim && !*shared.released.borrow() {
        // In a task of its own: the request stays alive when the program closes its connection.
        let task = tokio::spawn(hold(shared, request));
        task.await.context("the task panicked").flatten()
    } else {
        relay(&shared.client, request).await
    };
    result.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

/// Returns true for the path of a Machine, without a subresource.
fn is_machine(path: &str) -> bool {
    path.split_once("/machines/")
        .is_some_and(|(_, name)| !name.contains('/'))
}

async fn hold(shared: Arc<Shared>, request: Request) -> anyhow::Result<Response> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await?;
    shared.held.send(format!("{} {}", parts.method, parts.uri))?;
    shared.released.clone().wait_for(|released| *released).await?;
    let response = relay(&shared.client, Request::from_parts(parts, Body::from(body))).await?;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    shared.answered.send((parts.status, text))?;
    Ok(Response::from_parts(parts, Body::from(body)))
}
