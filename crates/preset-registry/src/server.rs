//! The gRPC server around the RPCs: health, reflection, limits, and an orderly end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use preset_catalog::Catalog;
use preset_registry_api::v1;
use preset_registry_api::v1::preset_registry_server::PresetRegistryServer;
use rustls::ServerConfig;
use serve::{Connections, Gate, Limits, Reloaded, TlsError, TlsFiles};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::call::Calls;
use crate::connection;
use crate::hub::{Hub, HubError, HubOptions};
use crate::library::Library;
use crate::publish::{PublishOptions, Publisher};
use crate::service::Service;
use crate::users::Users;
use crate::watch::Watchers;

/// Answers from memory take far less, and those of a hub have a limit of their own below this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests of one connection that are worked on at once; more wait with the client.
const CONCURRENCY_PER_CONNECTION: u32 = 64;
/// Requests are names and page tokens, and at most one preset.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Finds connections whose other end is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long open requests may take to end. Health watches never end by themselves.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Streams of `WatchPresets` that may be open.
const MAX_WATCHERS: usize = 4096;

/// What is served and how. The default serves the built-in presets in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// A directory of users' preset files.
    pub presets_dir: Option<PathBuf>,
    /// A model hub for names outside the catalog; none is asked without.
    pub hub: Option<HubOptions>,
    /// Certificates; plain text without.
    pub tls: Option<TlsFiles>,
    /// Connections that may be open at once; more wait to be accepted.
    pub max_connections: usize,
    /// How long a client that has connected may take to say something.
    pub greeting_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            presets_dir: None,
            hub: None,
            tls: None,
            max_connections: 1024,
            greeting_timeout: Duration::from_secs(10),
        }
    }
}

/// Why the server did not start, or ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The built-in catalog is broken, which tests exclude.
    #[error("the built-in catalog of presets is broken")]
    Catalog(#[source] preset_catalog::CatalogError),
    /// The hub cannot be asked as the options want it.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The certificate files cannot be used.
    #[error("TLS cannot be served")]
    Tls(#[from] TlsError),
    /// The descriptor of the contract cannot be read.
    #[error("reflection cannot be offered")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener cannot be used.
    #[error("failed to accept connections")]
    Listener(#[source] std::io::Error),
    /// The socket or a connection failed.
    #[error("the gRPC server failed")]
    Transport(#[from] tonic::transport::Error),
}

/// A server that is ready to serve: everything it needs was read.
#[derive(Debug)]
pub struct PresetServer {
    library: Arc<Library>,
    users: Option<Users>,
    hub: Option<Hub>,
    tls: Option<Reloaded<ServerConfig>>,
    connections: Limits,
    metrics: Metrics,
}

impl PresetServer {
    /// Reads what the options name. Users' files that are bad are no error, they are told and left out.
    ///
    /// # Errors
    /// When the built-in catalog is broken or the certificate files cannot be used.
    pub async fn prepare(options: ServerOptions, metrics: &Metrics) -> Result<Self, ServeError> {
        let built_in = Catalog::embedded().map_err(|error| ServeError::Catalog(error.clone()))?;
        tracing::info!(
            version = built_in.version(),
            presets = built_in.len(),
            "built-in presets loaded"
        );
        let library = Arc::new(Library::new(built_in.clone()));
        let users = options
            .presets_dir
            .map(|directory| Users::new(directory, built_in.clone(), Arc::clone(&library), metrics));
        if let Some(users) = &users {
            users.reload().await;
        }
        let hub = options.hub.map(|hub| Hub::new(hub, metrics)).transpose()?;
        let tls = options.tls.map(|files| follow_tls(files, metrics)).transpose()?;
        Ok(Self {
            library,
            users,
            hub,
            tls,
            connections: Limits {
                connections: options.max_connections,
                handshake: options.greeting_timeout,
            },
            metrics: metrics.clone(),
        })
    }

    /// What publishes the catalog that is served.
    pub(crate) fn publisher(
        &self,
        options: PublishOptions,
        client: kube::Client,
        metrics: &Metrics,
    ) -> Publisher {
        Publisher::new(options, client, Arc::clone(&self.library), metrics)
    }

    /// Serves on the listener until the token is cancelled. The gate is open meanwhile.
    ///
    /// Health answers `SERVING` as long as requests are welcome, and `NOT_SERVING` from the cancellation on.
    /// `WatchPresets` streams end then; open requests are given five seconds to.
    ///
    /// # Errors
    /// When the server cannot be set up or its transport fails; cancellation is no error.
    pub async fn serve(
        self,
        listener: TcpListener,
        gate: &Gate,
        token: CancellationToken,
    ) -> Result<(), ServeError> {
        let service = Service {
            library: Arc::clone(&self.library),
            hub: self.hub.clone(),
            calls: Calls::new(&self.metrics),
            watchers: Watchers::new(&self.metrics, MAX_WATCHERS),
            stop: token.clone(),
        };
        let registry = PresetRegistryServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::Serving).await;
        let encryption = self.tls.as_ref().map(Reloaded::subscribe);
        let failures = self.metrics.counter(
            "preset_registry_handshake_failures",
            "Connections whose client sent nothing or failed the TLS handshake",
            [],
        );
        let connections =
            Connections::accept(listener, encryption, self.connections, move || failures.inc([]))
                .map_err(ServeError::Listener)?;
        let server = limited()
            .trace_fn(telemetry::grpc::server_span)
            .add_service(registry)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(health_service)
            .serve_with_incoming_shutdown(
                connection::stream(connections),
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
async fn follow(users: Option<&Users>) {
    match users {
        Some(users) => users.follow().await,
        None => std::future::pending().await,
    }
}

/// Reads the certificate files and follows them. Registers `preset_registry_tls_reloads_total{result}`.
fn follow_tls(files: TlsFiles, metrics: &Metrics) -> Result<Reloaded<ServerConfig>, TlsError> {
    let reloads = metrics.counter(
        "preset_registry_tls_reloads",
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
}

/// Of the service by name, and of the server as a whole.
async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    for name in [v1::preset_registry_server::SERVICE_NAME, ""] {
        reporter.set_service_status(name, status).await;
    }
}

/// Ends when the server must: load balancers that watch the health learn of it first.
async fn refuse_when_cancelled(health: HealthReporter, gate: Gate, token: CancellationToken) {
    token.cancelled().await;
    gate.set(false, "stopping");
    set_health(&health, ServingStatus::NotServing).await;
}
