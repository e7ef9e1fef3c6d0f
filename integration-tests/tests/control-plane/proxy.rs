//! The parts that the proxies between one program and the API server share: a listener, and the forwarding of a request.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;

/// A listener of a proxy. It ends when it is dropped.
pub(crate) struct Listener {
    /// Plain-HTTP address for the program's kubeconfig.
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Serves the router on a free port.
    pub(crate) async fn start(router: Router) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends the request with `client`'s identity. The body of the response is not read yet.
pub(crate) async fn relay(client: &kube::Client, request: Request) -> anyhow::Result<Response> {
    let (mut parts, body) = request.into_parts();
    parts.uri = path(&parts.uri).parse()?;
    for name in [header::HOST, header::AUTHORIZATION, header::ACCEPT_ENCODING] {
        parts.headers.remove(name);
    }
    let body = axum::body::to_bytes(body, 8 << 20).await?;
    let request = axum::http::Request::from_parts(parts, kube::client::Body::from(body));
    let (parts, body) = client.send(request).await?.into_parts();
    Ok(Response::from_parts(parts, Body::new(body)))
}

/// Path and query of a URI.
pub(crate) fn path(uri: &axum::http::Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}
