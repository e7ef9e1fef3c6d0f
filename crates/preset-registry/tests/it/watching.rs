//! Watching the catalog over a connection.

use std::time::Duration;

use preset_catalog::Catalog;
use preset_registry_api::v1::WatchPresetsRequest;
use preset_registry_api::v1::watch_presets_response::Event;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

use crate::running::Running;

#[tokio::test]
async fn the_snapshot_is_the_catalog_and_stopping_ends_the_stream() {
    let running = Running::start().await;
    let mut watch = running
        .presets()
        .watch_presets(WatchPresetsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut names = Vec::new();
    loop {
        let message = watch.next().await.unwrap().unwrap();
        assert_eq!(message.catalog_version, Catalog::embedded().unwrap().version());
        let Some(Event::Snapshot(chunk)) = message.event else {
            panic!("not a snapshot: {message:?}");
        };
        assert_eq!(chunk.first, names.is_empty());
        names.extend(chunk.presets.into_iter().map(|preset| preset.name));
        if chunk.last {
            break;
        }
    }
    let expected = Catalog::embedded()
        .unwrap()
        .iter()
        .map(|preset| preset.name.clone());
    assert_eq!(names, expected.collect::<Vec<_>>());
    let text = running.metrics.encode().unwrap();
    assert!(text.contains("kaito_preset_registry_watchers 1"), "{text}");
    running.token.cancel();
    assert!(watch.next().await.is_none(), "the end is no error");
    drop((watch, running.channel));
    running.server.await.unwrap().unwrap();
    let text = running.metrics.encode().unwrap();
    assert!(
        text.contains("kaito_preset_registry_requests_total{method=\"WatchPresets\",code=\"OK\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_deadline_ends_the_stream() {
    let running = Running::start().await;
    let mut request = Request::new(WatchPresetsRequest {
        known_version: Catalog::embedded().unwrap().version().to_owned(),
    });
    request.set_timeout(Duration::from_millis(200));
    let mut watch = running
        .presets()
        .watch_presets(request)
        .await
        .unwrap()
        .into_inner();
    assert!(matches!(
        watch.next().await.unwrap().unwrap().event,
        Some(Event::Delta(_))
    ));
    let status = watch.next().await.unwrap().unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status}"
    );
}
