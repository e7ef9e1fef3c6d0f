//! The gRPC server around the RPCs: health, reflection, limits and graceful shutdown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use preset_catalog::{Catalog, EngineImage};
use preset_registry_api::v1;
use preset_registry_api::v1::preset_registry_server::PresetRegistryServer;
use rustls::ServerConfig;
use serve::{Connections, Encryption, Gate, Limits, Reloaded, TlsError, TlsFiles};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::access::AccessLayer;
use crate::authority::Authority;
use crate::call::Calls;
use crate::callers::{Callers, TokenOptions};
use crate::catalog_store::CatalogStore;
use crate::connection::{self, ConnectionTimes};
use crate::hub::{Hub, HubError, HubOptions};
use crate::publish::{PublishOptions, Publisher};
use crate::service::Service;
use crate::users::UserPresets;
use crate::watch::Watchers;

/// Time for a request. Requests to a hub have a lower limit of their own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Concurrent requests of one connection; further ones wait at the client.
const CONCURRENCY_PER_CONNECTION: u32 = 64;
/// Most bytes of a request: names, page tokens, and at most one preset.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Interval of pings, which find dead connections.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Time for open requests after a stop. Health watches never end by themselves.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Most open streams of `WatchPresets`.
const MAX_WATCHERS: usize = 4096;
/// Time after which a client must connect again, so that connections spread over replicas.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60 * 60);
/// Time for the open requests of an old connection. It is longer than a stream lasts.
const OLD_CONNECTION_GRACE: Duration = Duration::from_secs(65 * 60);

/// The options of the server. The default serves the built-in presets in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// A directory of users' preset files.
    pub presets_dir: Option<PathBuf>,
    /// The built-in instance types and those of the administrator.
    pub instance_types: Arc<instance_types::Catalog>,
    /// A model hub for names outside the catalog.
    pub hub: Option<HubOptions>,
    /// Certificates. Without them, the server uses plain text.
    pub tls: Option<TlsFiles>,
    /// Image of the GPU engine.
    pub engine: EngineImage,
    /// Most open connections. Beyond it, the address with the most connections loses one to another address.
    pub max_connections: usize,
    /// Most open connections of one address; further ones are closed at once.
    pub max_connections_per_peer: usize,
    /// Time for the TLS handshake, or for the first byte of plain text.
    pub handshake_timeout: Duration,
    /// Times after which a connection without requests is closed.
    pub connection_times: ConnectionTimes,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            presets_dir: None,
            instance_types: instance_types::Catalog::embedded()
                .cloned()
                .unwrap_or_default()
                .into(),
            hub: None,
            tls: None,
            engine: EngineImage::default(),
            max_connections: 1024,
            max_connections_per_peer: 64,
            connection_times: ConnectionTimes::default(),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// A failure to start or to serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The built-in catalog is malformed, which tests exclude.
    #[error("failed to read the built-in catalog of presets")]
    Catalog(#[source] preset_catalog::CatalogError),
    /// The options of the hub cannot be used.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The certificate files cannot be used.
    #[error("failed to set up TLS")]
    Tls(#[from] TlsError),
    /// The descriptor of the contract cannot be read.
    #[error("failed to set up reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The socket or a connection failed.
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

/// A server that has read its files.
#[derive(Debug)]
pub struct PresetServer {
    catalogs: Arc<CatalogStore>,
    instance_types: Arc<instance_types::Catalog>,
    users: Option<UserPresets>,
    hub: Option<Hub>,
    engine: EngineImage,
    encryption: Encryption,
    /// Follows the certificate files, if there are any.
    _files: Option<Reloaded<ServerConfig>>,
    callers: Callers,
    connections: Limits,
    times: ConnectionTimes,
    metrics: Metrics,
}

impl PresetServer {
    /// Reads the files of the options. A malformed user file is logged and left out.
    ///
    /// # Errors
    /// The built-in catalog, the hub or the certificate files cannot be used.
    pub async fn prepare(options: ServerOptions, metrics: &Metrics) -> Result<Self, ServeError> {
        let built_in = Catalog::embedded().map_err(|error| ServeError::Catalog(error.clone()))?;
        tracing::info!(
            version = built_in.version(),
            presets = built_in.len(),
            "built-in presets loaded"
        );
        let catalogs = Arc::new(CatalogStore::new(built_in.clone()));
        let users = options
            .presets_dir
            .map(|directory| UserPresets::new(directory, built_in.clone(), Arc::clone(&catalogs), metrics));
        if let Some(users) = &users {
            users.reload().await;
        }
        let hub = options.hub.map(|hub| Hub::new(hub, metrics)).transpose()?;
        let tls = options.tls.map(|files| follow_tls(files, metrics)).transpose()?;
        Ok(Self {
            catalogs,
            instance_types: options.instance_types,
            users,
            hub,
            engine: options.engine,
            encryption: tls.as_ref().map(Reloaded::subscribe),
            _files: tls,
            callers: Callers::Any,
            connections: Limits {
                connections: options.max_connections,
                per_peer: Some(options.max_connections_per_peer),
                handshake: options.handshake_timeout,
            },
            times: options.connection_times,
            metrics: metrics.clone(),
        })
    }

    /// Serves certificates that this process makes itself.
    pub(crate) fn encrypt(&mut self, authority: &Authority) {
        self.encryption = Some(authority.subscribe());
    }

    /// Answers only callers with a token that this API server accepts, as `options` say.
    pub fn require_tokens(&mut self, options: TokenOptions, client: kube::Client) {
        self.callers = Callers::tokens(options, client, &self.metrics);
    }

    /// Creates the publisher of the served catalog.
    pub(crate) fn publisher(
        &self,
        options: PublishOptions,
        client: kube::Client,
        metrics: &Metrics,
    ) -> Publisher {
        let types = Arc::clone(&self.instance_types);
        Publisher::new(options, client, Arc::clone(&self.catalogs), types, metrics)
    }

    /// Serves on the listener until the token is canceled. The gate is open until then.
    ///
    /// Health is `SERVING` until the cancellation and `NOT_SERVING` after it. `WatchPresets` streams end then, and open
    /// requests have five seconds to end.
    ///
    /// # Errors
    /// The server cannot be set up, or its transport fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        gate: &Gate,
        token: CancellationToken,
    ) -> Result<(), ServeError> {
        let service = Service {
            catalogs: Arc::clone(&self.catalogs),
            instance_types: self.instance_types,
            hub: self.hub.clone(),
            calls: Calls::new(&self.metrics),
            watchers: Watchers::new(&self.metrics, MAX_WATCHERS),
            engine: self.engine,
            stop: token.clone(),
        };
        let registry = PresetRegistryServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let failures = self.metrics.counter(
            "kaito_preset_registry_handshake_failures",
            "Connections whose client sent nothing or failed the TLS handshake",
            [],
        );
        let connections = Connections::accept(listener, self.encryption, self.connections, move || {
            failures.inc([]);
        });
        let server = limited()
            .trace_fn(telemetry::grpc::server_span)
            .layer(AccessLayer(self.callers))
            .add_service(registry)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(health_service)
            .serve_with_incoming_shutdown(
                connection::stream(connections, self.times),
                refuse_when_cancelled(health, gate.clone(), token.clone()),
            );
        gate.set(true, "");
        let ended = tokio::select! {
            ended = serve::with_grace(server, &token, SHUTDOWN_GRACE) => ended,
            () = follow(self.users.as_ref()) => None,
        };
        match ended {
            Some(ended) => Ok(ended?),
            None => {
                tracing::warn!("cut off open requests at the end of the grace period");
                Ok(())
            }
        }
    }
}

/// Follows the users' files forever.
async fn follow(users: Option<&UserPresets>) {
    match users {
        Some(users) => users.follow().await,
        None => std::future::pending().await,
    }
}

/// Reads the certificate files and follows them. Registers `kaito_preset_registry_tls_reloads_total{result}`.
fn follow_tls(files: TlsFiles, metrics: &Metrics) -> Result<Reloaded<ServerConfig>, TlsError> {
    let reloads = metrics.counter(
        "kaito_preset_registry_tls_reloads",
        "Reloads of the certificate files, by result",
        ["result"],
    );
    files.follow("h2", move |reload| reloads.inc([reload.label()]))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn limited() -> Server {
    Server::builder()
        .timeout(REQUEST_TIMEOUT)
        .concurrency_limit_per_connection(CONCURRENCY_PER_CONNECTION as usize)
        .max_concurrent_streams(CONCURRENCY_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .max_connection_age(MAX_CONNECTION_AGE)
        .max_connection_age_grace(OLD_CONNECTION_GRACE)
}

/// Sets the health of the service and of the whole server.
async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    for name in [v1::preset_registry_server::SERVICE_NAME, ""] {
        reporter.set_service_status(name, status).await;
    }
}

/// Returns when the server must stop, after load balancers can see it in the health.
async fn refuse_when_cancelled(health: HealthReporter, gate: Gate, token: CancellationToken) {
    token.cancelled().await;
    gate.set(false, "stopping");
    set_health(&health, ServingStatus::NotServing).await;
}
