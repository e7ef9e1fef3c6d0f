//! The HTTP server for probes and metrics. It changes nothing.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::readiness::Readiness;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `/metrics`, `/healthz` and `/readyz`; clones may serve on several listeners.
#[derive(Clone, Debug)]
pub struct Admin {
    metrics: Metrics,
    readiness: Readiness,
}

impl Admin {
    /// A server that shows these.
    #[must_use]
    pub fn new(metrics: Metrics, readiness: Readiness) -> Self {
        Self { metrics, readiness }
    }

    /// The routes, to serve or to test.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .with_state(self)
    }

    /// Serves until the token is cancelled.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, listener: TcpListener, token: CancellationToken) -> anyhow::Result<()> {
        // Not gracefully: a scraper that keeps its connection open must not keep the program.
        tokio::select! {
            served = axum::serve(listener, self.router()) => Ok(served?),
            () = token.cancelled() => Ok(()),
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let shut = admin.readiness.shut();
    if shut.is_empty() {
        return "ok\n".into_response();
    }
    let body: String = shut
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

    async fn ask(admin: &Admin, path: &str) -> (StatusCode, String) {
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
        let admin = Admin::new(Metrics::new(), readiness);
        gate.set(false, "Node not listed yet");
        let shut = ask(&admin, "/readyz").await;
        assert_eq!(
            shut,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "stores: Node not listed yet\n".to_owned()
            )
        );
        gate.set(true, "");
        assert_eq!(ask(&admin, "/readyz").await.0, StatusCode::OK);
        assert_eq!(ask(&admin, "/healthz").await.0, StatusCode::OK);
        assert!(ask(&admin, "/metrics").await.1.contains("process_open_fds"));
    }

    #[tokio::test]
    async fn serving_ends_with_the_token() {
        let token = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        token.cancel();
        Admin::new(Metrics::new(), Readiness::new())
            .serve(listener, token)
            .await
            .unwrap();
    }
}
