//! The gRPC server around the RPCs: health, reflection, limits, and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use preset_catalog::Catalog;
use preset_registry_api::v1;
use preset_registry_api::v1::preset_registry_server::PresetRegistryServer;
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::metrics::Requests;
use crate::service::Service;

/// Every answer comes from memory; whatever takes this long is stuck.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests of one connection that are worked on at once; more wait with the client.
const CONCURRENCY_PER_CONNECTION: u32 = 64;
/// Requests are names and page tokens.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Finds connections whose other end is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long open requests may take to end. Health watches never end by themselves.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Why the server ended, other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptor of the contract can't be read.
    #[error("reflection can't be offered")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The socket or a connection failed.
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves the catalogue on the listener until the token is cancelled.
///
/// Health answers `SERVING` as long as requests are welcome, and `NOT_SERVING` from the cancellation on. Open
/// requests are given five seconds to end.
///
/// # Errors
/// When the server can't be set up or its transport fails; cancellation is no error.
pub async fn serve(
    listener: TcpListener,
    catalog: Arc<Catalog>,
    token: CancellationToken,
) -> Result<(), ServeError> {
    serve_measured(listener, catalog, &Metrics::new(), token).await
}

/// [`serve`], counting requests by method and code in these metrics.
///
/// # Errors
/// Like [`serve`].
pub async fn serve_measured(
    listener: TcpListener,
    catalog: Arc<Catalog>,
    metrics: &Metrics,
    token: CancellationToken,
) -> Result<(), ServeError> {
    tracing::info!(
        version = catalog.version(),
        presets = catalog.len(),
        "catalogue loaded"
    );
    let registry = PresetRegistryServer::new(Service::new(catalog, Requests::new(metrics)))
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let (health, health_service) = tonic_health::server::health_reporter();
    set_health(&health, ServingStatus::Serving).await;
    let server = limited()
        .trace_fn(telemetry::grpc::server_span)
        .add_service(registry)
        .add_service(reflection)
        .add_service(health_service)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            refuse_when_cancelled(health, token.clone()),
        );
    tokio::select! {
        ended = server => Ok(ended?),
        () = grace_is_over(&token) => {
            tracing::warn!("open requests are cut off");
            Ok(())
        }
    }
}

fn limited() -> Server {
    Server::builder()
        .timeout(REQUEST_TIMEOUT)
        .concurrency_limit_per_connection(CONCURRENCY_PER_CONNECTION as usize)
        .max_concurrent_streams(CONCURRENCY_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
}

/// Of the service by name, and of the server as a whole.
async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    for name in [v1::preset_registry_server::SERVICE_NAME, ""] {
        reporter.set_service_status(name, status).await;
    }
}

/// Ends when the server must: load balancers that watch the health learn of it first.
async fn refuse_when_cancelled(health: HealthReporter, token: CancellationToken) {
    token.cancelled().await;
    set_health(&health, ServingStatus::NotServing).await;
}

async fn grace_is_over(token: &CancellationToken) {
    token.cancelled().await;
    tokio::time::sleep(SHUTDOWN_GRACE).await;
}
