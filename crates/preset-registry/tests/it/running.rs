//! A whole server on a local port, and what tests ask it.

use std::net::SocketAddr;

use preset_catalog::{Catalog, Preset};
use preset_registry::{PresetServer, ServeError, ServerOptions, TokenOptions};
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use preset_registry_api::v1::{GetPresetRequest, ListPresetsRequest};
use serve::Readiness;
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

pub(crate) const SERVICE: &str = "kaito.preset.v1.PresetRegistry";

/// The server and a connection to it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) channel: Channel,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    pub(crate) token: CancellationToken,
    pub(crate) server: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// With the built-in presets, in plain text.
    pub(crate) async fn start() -> Self {
        Self::with(ServerOptions::default()).await
    }

    pub(crate) async fn with(options: ServerOptions) -> Self {
        Self::with_tokens(options, None).await
    }

    /// With a check of callers by an API server.
    pub(crate) async fn with_tokens(
        options: ServerOptions,
        tokens: Option<(TokenOptions, kube::Client)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, readiness, token) = (Metrics::new(), Readiness::new(), CancellationToken::new());
        let gate = readiness.gate("grpc");
        let mut server = PresetServer::prepare(options, &metrics).await.unwrap();
        if let Some((options, client)) = tokens {
            server.require_tokens(options, client);
        }
        let stop = token.clone();
        let server = tokio::spawn(async move { server.serve(listener, &gate, stop).await });
        Self {
            address,
            // Lazily: a server with TLS gets no plain text.
            channel: Endpoint::from_shared(format!("http://{address}"))
                .unwrap()
                .connect_lazy(),
            metrics,
            readiness,
            token,
            server,
        }
    }

    pub(crate) fn presets(&self) -> PresetRegistryClient<Channel> {
        PresetRegistryClient::new(self.channel.clone())
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Preset, Status> {
        let response = self
            .presets()
            .get_preset(GetPresetRequest {
                name: name.to_owned(),
            })
            .await?
            .into_inner();
        Ok(response.preset.unwrap().try_into().unwrap())
    }

    /// All presets, page by page, and how many pages there were.
    pub(crate) async fn list(&self, name_contains: &str, page_size: i32) -> (Vec<Preset>, usize) {
        let mut request = ListPresetsRequest {
            name_contains: name_contains.to_owned(),
            page_size,
            ..ListPresetsRequest::default()
        };
        let (mut presets, mut pages) = (Vec::new(), 0);
        loop {
            let page = self
                .presets()
                .list_presets(request.clone())
                .await
                .unwrap()
                .into_inner();
            assert_eq!(page.catalog_version, Catalog::embedded().unwrap().version());
            pages += 1;
            presets.extend(
                page.presets
                    .into_iter()
                    .map(|preset| Preset::try_from(preset).unwrap()),
            );
            if page.next_page_token.is_empty() {
                return (presets, pages);
            }
            request.page_token = page.next_page_token;
        }
    }

    pub(crate) async fn health(&self, service: &str) -> ServingStatus {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        HealthClient::new(self.channel.clone())
            .check(request)
            .await
            .unwrap()
            .into_inner()
            .status()
    }
}

/// Waits until the condition holds, at most a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting)
        .await
        .expect("it never came to be");
}
