//! The server: binds, serves and stops.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::boot::Booter;
use crate::config::ArmServerConfig;
use crate::control::{ControlClient, ControlError};
use crate::listener::{BreakableListener, Breaker};
use crate::{arm, auth, control, driver};

/// Time that open requests have when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// Largest body. A pool has a few dozen labels.
const BODY_LIMIT: usize = 1 << 20;

/// Reason why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address could not be bound.
    #[error("failed to listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The reason.
        error: std::io::Error,
    },
    /// The Kubernetes cluster could not be reached.
    #[error("failed to reach the Kubernetes cluster: {0:#}")]
    Kubernetes(anyhow::Error),
}

/// A running server. Dropping it stops it without grace.
#[derive(Debug)]
pub struct ServerHandle {
    /// Address that it listens on.
    pub addr: SocketAddr,
    app: App,
    task: JoinHandle<()>,
}

impl ServerHandle {
    /// `http://host:port`, the address of ARM, the token service and the control API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A client of the control API.
    ///
    /// # Errors
    /// When no HTTP client can be created.
    pub fn control(&self) -> Result<ControlClient, ControlError> {
        ControlClient::new(&self.url())
    }

    /// Stops accepting connections and waits a moment for open requests.
    pub async fn shutdown(mut self) {
        self.app.stop().cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.app.stop().cancel();
        self.task.abort();
    }
}

/// Starts a server in this runtime.
///
/// # Errors
/// When the address cannot be bound, or the configuration of the Kubernetes cluster is invalid.
pub async fn serve(config: ArmServerConfig) -> Result<ServerHandle, ServeError> {
    let booter = match &config.kubeconfig {
        Some(path) => Some(
            Booter::connect(path, &config)
                .await
                .map_err(ServeError::Kubernetes)?,
        ),
        None => None,
    };
    let address = config.listen;
    let bind = |error| ServeError::Bind { address, error };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let addr = listener.local_addr().map_err(bind)?;
    let app = App::new(config);
    if let Some(booter) = booter.clone() {
        tokio::spawn(booter.heartbeats(app.clone()));
    }
    tokio::spawn(driver::run(app.clone(), booter));
    let service = router(app.clone()).into_make_service_with_connect_info::<Breaker>();
    let stop = app.stop().clone();
    let server = axum::serve(BreakableListener(listener), service)
        .with_graceful_shutdown(async move { stop.cancelled().await });
    let task = tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "server failed");
        }
    });
    Ok(ServerHandle { addr, app, task })
}

fn router(app: App) -> Router {
    Router::new()
        .nest("/_control", control::routes::router())
        .merge(auth::router())
        .fallback(arm::handle)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
}
