//! Silent servers, refusing servers, and queues that do not move.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::key::Key;
use crate::runtime::Runtime;
use crate::testing::{Seen, refusal, serve};

/// Runs a watch against a server, and returns the checks of both probes.
fn watching(answer: impl FnMut(&Seen) -> Option<(u16, Value)> + Send + 'static) -> Health {
    let (client, _log) = serve(answer);
    let health = Health::default();
    let runtime = Runtime::new(client, "tester", &Metrics::new(), health.clone());
    let watch = runtime.watch::<ConfigMap>(watcher::Config::default(), |_| {});
    tokio::spawn(watch.run(CancellationToken::new(), |_| {}));
    health
}

fn empty_list() -> (u16, Value) {
    let list = json!({
        "kind": "ConfigMapList", "apiVersion": "v1", "metadata": { "resourceVersion": "7" }, "items": [],
    });
    (200, list)
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_hears_nothing_fails_both_probes() {
    let health = watching(|seen| (!seen.query.contains("watch=")).then(empty_list));
    wait(359).await;
    assert_eq!(health.liveness.failing(), []);
    assert_eq!(health.readiness.failing(), []);
    wait(10).await;
    let failing = health.liveness.failing();
    assert_eq!(failing[0].0, "watch of ConfigMap");
    assert!(
        failing[0].1.contains("no answer from the API server for"),
        "{failing:?}"
    );
    assert_eq!(health.readiness.failing(), failing);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_is_no_reason_to_restart() {
    let health = watching(|_| Some(refusal(404)));
    wait(600).await;
    assert_eq!(health.liveness.failing(), []);
    let failing = health.readiness.failing();
    assert!(failing[0].1.contains("refused by the script"), "{failing:?}");
}

#[tokio::test(start_paused = true)]
async fn success_ends_a_failure() {
    let pulse = Pulse::new();
    pulse.record_failure("the definition is gone".to_owned());
    let limit = Duration::from_secs(60);
    assert_eq!(pulse.is_current(limit), Err("the definition is gone".to_owned()));
    assert_eq!(pulse.is_alive(limit), Ok(()));
    pulse.record_success();
    assert_eq!(pulse.is_current(limit), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_move_is_reported() {
    let (enqueuer, queue) = crate::queue::queue(Duration::ZERO);
    let check = queue.moves(Duration::from_secs(60));
    wait(100).await;
    assert_eq!(check(), Ok(()), "nothing is due");
    enqueuer.enqueue_after(Key::namespaced("ns", "later"), Duration::from_secs(100));
    wait(150).await;
    assert_eq!(check(), Ok(()), "due for 50 s");
    wait(11).await;
    let reason = check().unwrap_err();
    assert!(reason.contains("ns/later is due"), "{reason}");
    queue.next().await;
    assert_eq!(check(), Ok(()));
}

#[test]
fn watches_end_before_their_silence_counts() {
    let seconds = |silence| {
        let health = Health {
            silence: Duration::from_secs(silence),
            ..Health::default()
        };
        health.watch_seconds()
    };
    assert_eq!([seconds(360), seconds(4000), seconds(8)], [270, 290, 6]);
}
