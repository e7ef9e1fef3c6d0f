//! The HTTP server for probes and metrics, and its flags. It changes nothing.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::checks::Checks;
use crate::readiness::Readiness;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Flags about metrics and probes, to flatten into a program's own.
#[derive(Clone, Debug, clap::Args)]
pub struct AdminArgs {
    /// Address of Prometheus metrics.
    #[arg(long, env = "METRICS_BIND_ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_bind_address: SocketAddr,
    /// Address of the probes `/healthz` and `/readyz`.
    #[arg(long, env = "HEALTH_PROBE_BIND_ADDRESS", default_value = "0.0.0.0:8081")]
    pub health_probe_bind_address: SocketAddr,
}

impl AdminArgs {
    /// Binds both addresses.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub async fn bind(&self) -> Result<[TcpListener; 2], BindError> {
        Ok([
            bind(self.metrics_bind_address).await?,
            bind(self.health_probe_bind_address).await?,
        ])
    }
}

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("failed to bind {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The error of the system.
    pub source: io::Error,
}

/// Binds an address.
///
/// # Errors
/// The address is in use or not available.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BindError { address, source })
}

type Encode = Arc<dyn Fn() -> anyhow::Result<String> + Send + Sync>;

/// Serves `/metrics`, `/healthz` and `/readyz`.
#[derive(Clone)]
pub struct Admin {
    readiness: Readiness,
    liveness: Checks,
    encode: Encode,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Creates a server of these gates and checks, and of metrics that `encode` writes as OpenMetrics text. A restart
    /// must help when `liveness` fails.
    #[must_use]
    pub fn new(
        readiness: Readiness,
        liveness: Checks,
        encode: impl Fn() -> anyhow::Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            readiness,
            liveness,
            encode: Arc::new(encode),
        }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(self)
    }

    /// Serves everything on both listeners until the token is canceled.
    ///
    /// # Errors
    /// A listener fails.
    pub async fn serve(self, listeners: [TcpListener; 2], token: CancellationToken) -> anyhow::Result<()> {
        let [first, second] = listeners;
        let router = self.router();
        // Not gracefully: a scraper that keeps its connection open must not keep the program.
        tokio::select! {
            served = axum::serve(first, router.clone()) => Ok(served?),
            served = axum::serve(second, router) => Ok(served?),
            () = token.cancelled() => Ok(()),
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match (admin.encode)() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

async fn healthz(State(admin): State<Admin>) -> Response {
    probe(&admin.liveness.failing())
}

async fn readyz(State(admin): State<Admin>) -> Response {
    probe(&admin.readiness.closed())
}

fn probe(failing: &[(String, String)]) -> Response {
    if failing.is_empty() {
        return "ok\n".into_response();
    }
    let body: String = failing
        .iter()
        .map(|(name, reason)| format!("{name}: {reason}\n"))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn get_text(admin: &Admin, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = admin.clone().router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing() {
        let readiness = Readiness::new();
        let gate = readiness.gate("stores");
        let liveness = Checks::new();
        let admin = Admin::new(readiness, liveness.clone(), || {
            Ok("process_open_fds 3\n".to_owned())
        });
        gate.set(false, "Node not listed yet");
        let closed = get_text(&admin, "/readyz").await;
        assert_eq!(
            closed,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "stores: Node not listed yet\n".to_owned()
            )
        );
        gate.set(true, "");
        assert_eq!(get_text(&admin, "/readyz").await.0, StatusCode::OK);
        assert_eq!(get_text(&admin, "/healthz").await.0, StatusCode::OK);
        liveness.add("queue", || Err("does not move".to_owned()));
        assert_eq!(
            get_text(&admin, "/healthz").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "queue: does not move\n".to_owned()
            )
        );
        assert_eq!(get_text(&admin, "/readyz").await.0, StatusCode::OK);
        assert!(get_text(&admin, "/metrics").await.1.contains("process_open_fds"));
    }

    #[tokio::test]
    async fn serving_ends_with_the_token() {
        let token = CancellationToken::new();
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = [bind(local).await.unwrap(), bind(local).await.unwrap()];
        token.cancel();
        Admin::new(Readiness::new(), Checks::new(), || Ok(String::new()))
            .serve(listeners, token)
            .await
            .unwrap();
    }
}
