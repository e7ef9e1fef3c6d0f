//! The whole server on a local port, asked by gRPC clients.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use preset_catalog::{Catalog, Preset};
use preset_registry::{ServeError, serve_measured};
use preset_registry_api::near_matches;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use preset_registry_api::v1::{GetPresetRequest, ListPresetsRequest};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

const SERVICE: &str = "kaito.preset.v1.PresetRegistry";

struct Running {
    channel: Channel,
    metrics: Metrics,
    token: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let catalog = Arc::new(Catalog::embedded().unwrap().clone());
        let (metrics, token) = (Metrics::new(), CancellationToken::new());
        let (served, stop) = (metrics.clone(), token.clone());
        let server = tokio::spawn(async move { serve_measured(listener, catalog, &served, stop).await });
        Self {
            channel: endpoint.connect().await.unwrap(),
            metrics,
            token,
            server,
        }
    }

    fn presets(&self) -> PresetRegistryClient<Channel> {
        PresetRegistryClient::new(self.channel.clone())
    }

    async fn get(&self, name: &str) -> Result<Preset, Status> {
        let response = self
            .presets()
            .get_preset(GetPresetRequest {
                name: name.to_owned(),
            })
            .await?
            .into_inner();
        assert_eq!(response.catalog_version, Catalog::embedded().unwrap().version());
        Ok(response.preset.unwrap().try_into().unwrap())
    }

    /// All presets, page by page, and how many pages there were.
    async fn list(&self, name_contains: &str, page_size: i32) -> (Vec<Preset>, usize) {
        let mut request = ListPresetsRequest {
            name_contains: name_contains.to_owned(),
            page_size,
            page_token: String::new(),
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

    async fn health(&self, service: &str) -> ServingStatus {
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

#[tokio::test]
async fn paging_over_everything_gives_the_catalogue() {
    let running = Running::start().await;
    let everything: Vec<_> = Catalog::embedded().unwrap().iter().cloned().collect();
    assert_eq!(running.list("", 0).await, (everything.clone(), 1));
    assert_eq!(
        running.list("", 7).await,
        (everything.clone(), everything.len().div_ceil(7))
    );
    assert_eq!(running.list("", 100_000).await, (everything, 1));
}

#[tokio::test]
async fn the_filter_looks_at_every_name() {
    let running = Running::start().await;
    let (found, _) = running.list("PHI-3-mini", 1).await;
    let names: Vec<_> = found.iter().map(|preset| preset.name.as_str()).collect();
    assert_eq!(names, ["phi-3-mini-128k-instruct", "phi-3-mini-4k-instruct"]);
    assert_eq!(running.list("mistral-large-3-675b-instruct", 0).await.0.len(), 1);
    assert!(running.list("nothing like it", 0).await.0.is_empty());
}

#[tokio::test]
async fn a_preset_is_found_by_every_name() {
    let running = Running::start().await;
    let names = [
        "mistral-7b-instruct-v0.3",
        "mistral-7b-instruct",
        "mistralai/Mistral-7B-Instruct-v0.3",
        "MISTRAL-7B-INSTRUCT",
    ];
    let expected = Catalog::embedded().unwrap().find(names[0]).unwrap();
    for name in names {
        assert_eq!(&running.get(name).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_unknown_name_gets_suggestions() {
    let running = Running::start().await;
    let status = running.get("llama-3-8b").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(
        status
            .message()
            .starts_with("no preset is named `llama-3-8b`; did you mean `llama-3.1-8b-instruct`")
    );
    assert_eq!(near_matches(&status)[0], "llama-3.1-8b-instruct");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("PRESET_NOT_FOUND", "kaito.sh")
    );
}

/// The field that a refusal blames.
#[track_caller]
fn blamed(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    status.get_details_bad_request().unwrap().field_violations[0]
        .field
        .clone()
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_field() {
    let running = Running::start().await;
    let list = |request| async { running.presets().list_presets(request).await.unwrap_err() };
    let request = ListPresetsRequest::default();
    let token = ListPresetsRequest {
        page_token: "made-up".to_owned(),
        ..request.clone()
    };
    assert_eq!(blamed(&list(token).await), "page_token");
    assert_eq!(
        blamed(
            &list(ListPresetsRequest {
                page_size: -1,
                ..request
            })
            .await
        ),
        "page_size"
    );
    assert_eq!(blamed(&running.get("").await.unwrap_err()), "name");
    assert_eq!(blamed(&running.get(&"x".repeat(1000)).await.unwrap_err()), "name");
    let too_large = running.get(&"x".repeat(100_000)).await.unwrap_err();
    assert_eq!(too_large.code(), Code::OutOfRange, "{too_large}");
}

#[tokio::test]
async fn a_token_of_another_list_is_refused() {
    let running = Running::start().await;
    let request = ListPresetsRequest {
        page_size: 1,
        ..Default::default()
    };
    let page_token = running
        .presets()
        .list_presets(request.clone())
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    let other = ListPresetsRequest {
        name_contains: "phi".to_owned(),
        page_token,
        ..request
    };
    assert_eq!(
        blamed(&running.presets().list_presets(other).await.unwrap_err()),
        "page_token"
    );
}

#[tokio::test]
async fn requests_are_counted() {
    let running = Running::start().await;
    running.get("phi-4").await.unwrap();
    running.get("phi-5").await.unwrap_err();
    let text = running.metrics.encode().unwrap();
    for code in ["OK", "NOT_FOUND"] {
        let line = format!("preset_registry_requests_total{{method=\"GetPreset\",code=\"{code}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
    assert!(
        text.contains("preset_registry_request_duration_seconds_count{method=\"GetPreset\"} 2"),
        "{text}"
    );
}

#[tokio::test]
async fn health_follows_the_life_of_the_server() {
    let running = Running::start().await;
    assert_eq!(running.health("").await, ServingStatus::Serving);
    assert_eq!(running.health(SERVICE).await, ServingStatus::Serving);
    let request = HealthCheckRequest {
        service: SERVICE.to_owned(),
    };
    let mut watch = HealthClient::new(running.channel.clone())
        .watch(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    running.token.cancel();
    assert_eq!(
        watch.next().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    // The watch is an open request; once it is gone nothing keeps the server.
    drop((watch, running.channel));
    tokio::time::timeout(Duration::from_secs(5), running.server)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_open_watch_does_not_keep_the_server() {
    let running = Running::start().await;
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let _watch = HealthClient::new(running.channel.clone())
        .watch(request)
        .await
        .unwrap();
    running.token.cancel();
    tokio::time::timeout(Duration::from_secs(20), running.server)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let running = Running::start().await;
    let ask = |request| {
        let messages = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(request),
        };
        let mut client = ServerReflectionClient::new(running.channel.clone());
        async move {
            let request = Request::new(tokio_stream::once(messages));
            let mut responses = client.server_reflection_info(request).await.unwrap().into_inner();
            responses.next().await.unwrap().unwrap().message_response.unwrap()
        }
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("not a list of services");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&SERVICE) && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    let MessageResponse::FileDescriptorResponse(files) = ask(MessageRequest::FileContainingSymbol(format!(
        "{SERVICE}.GetPreset"
    )))
    .await
    else {
        panic!("not a descriptor");
    };
    assert_eq!(files.file_descriptor_proto.len(), 1);
}
