//! Asking for presets, health and reflection.

use std::net::Ipv4Addr;
use std::time::Duration;

use preset_catalog::Catalog;
use preset_registry::ServerOptions;
use preset_registry_api::near_matches;
use preset_registry_api::v1::{GetPresetRequest, ListPresetsRequest, PresetOrigin, Runtime};
use tokio::net::TcpSocket;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use crate::running::{Running, SERVICE};

#[tokio::test]
async fn paging_over_everything_gives_the_catalog() {
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
async fn the_answer_says_where_the_preset_comes_from() {
    let running = Running::start().await;
    let request = GetPresetRequest {
        name: "phi-4".to_owned(),
    };
    let response = running.presets().get_preset(request).await.unwrap().into_inner();
    assert_eq!(response.origin(), PresetOrigin::BuiltIn);
    assert_eq!(response.catalog_version, Catalog::embedded().unwrap().version());
}

#[tokio::test]
async fn filters_are_carried_out() {
    let running = Running::start().await;
    let request = ListPresetsRequest {
        runtime: Runtime::Native.into(),
        cpu_only: true,
        hide_deprecated: true,
        ..ListPresetsRequest::default()
    };
    let page = running
        .presets()
        .list_presets(request)
        .await
        .unwrap()
        .into_inner();
    assert!(!page.presets.is_empty());
    assert!(
        page.presets
            .iter()
            .all(|preset| preset.inference.as_ref().unwrap().cpu)
    );
    let unknown = ListPresetsRequest {
        runtime: 9,
        ..ListPresetsRequest::default()
    };
    assert_eq!(
        blamed(&running.presets().list_presets(unknown).await.unwrap_err()),
        "runtime"
    );
}

#[tokio::test]
async fn an_unknown_name_gets_suggestions() {
    let running = Running::start().await;
    let status = running.get("llama-3-8b").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(
        status
            .message()
            .starts_with("no preset is named `llama-3-8b`; did you mean llama-3.1-8b-instruct")
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
        let line = format!("kaito_preset_registry_requests_total{{method=\"GetPreset\",code=\"{code}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
    assert!(
        text.contains("kaito_preset_registry_request_duration_seconds_count{method=\"GetPreset\"} 2"),
        "{text}"
    );
}

#[tokio::test]
async fn health_follows_the_life_of_the_server() {
    let running = Running::start().await;
    assert_eq!(running.health("").await, ServingStatus::Serving);
    assert!(running.readiness.closed().is_empty());
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
    assert_eq!(
        running.readiness.closed(),
        [("grpc".to_owned(), "stopping".to_owned())]
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
async fn who_connects_and_says_nothing_makes_room() {
    let running = Running::with(ServerOptions {
        max_connections: 1,
        handshake_timeout: Duration::from_millis(100),
        ..ServerOptions::default()
    })
    .await;
    // Each address of loopback is another peer.
    let mut silent = Vec::new();
    for peer in [1, 2] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 1, peer), 0).into()).unwrap();
        silent.push(socket.connect(running.address).await.unwrap());
    }
    assert_eq!(running.get("phi-4").await.unwrap().name, "phi-4");
    let text = running.metrics.encode().unwrap();
    assert!(
        text.contains("kaito_preset_registry_handshake_failures_total 2"),
        "{text}"
    );
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
