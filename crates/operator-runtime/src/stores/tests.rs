//! A watch from the server's answers to the store.

use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use serve::Readiness;
use telemetry::Metrics;

use super::*;
use crate::runtime::Runtime;
use crate::testing::serve;

fn item(name: &str, data: &Value) -> Value {
    let metadata = json!({
        "name": name, "namespace": "ns", "uid": name, "resourceVersion": "5",
        "managedFields": [{ "manager": "x" }],
    });
    json!({ "metadata": metadata, "data": data })
}

fn listing() -> Value {
    json!({
        "kind": "ConfigMapList", "apiVersion": "v1", "metadata": { "resourceVersion": "7" },
        "items": [item("good", &json!({ "a": "b", "big": "x" })), item("bad", &json!("not a map"))],
    })
}

fn trim(object: &mut ConfigMap) {
    object.data.get_or_insert_default().remove("big");
}

#[tokio::test(start_paused = true)]
async fn one_bad_object_does_not_break_the_list() {
    // The first list fails: it is tried again. The watch that follows the list stays silent.
    let mut lists = 0;
    let (client, _log) = serve(move |seen| {
        if seen.query.contains("watch=") {
            return None;
        }
        lists += 1;
        Some(if lists == 1 {
            crate::testing::refusal(403)
        } else {
            (200, listing())
        })
    });
    let runtime = Runtime::new(client, "tester", &Metrics::new());
    let watch = runtime.watch::<ConfigMap>(watcher::Config::default(), trim);
    let store = watch.store();
    let touched: Arc<Mutex<Vec<String>>> = Arc::default();
    let token = CancellationToken::new();
    let told = Arc::clone(&touched);
    let seen_in = store.clone();
    let running = tokio::spawn(watch.run(token.clone(), move |touched| {
        // The store comes first.
        assert!(seen_in.get(&touched.key).is_some());
        told.lock().unwrap().push(touched.key.to_string());
    }));
    let readiness = Readiness::new();
    Caches::new()
        .with(&store)
        .ready(&readiness.gate("stores"), &token)
        .await;
    tokio::time::sleep(Duration::from_millis(10)).await;

    assert_eq!(*touched.lock().unwrap(), ["ns/good"]);
    let good = store.get(&Key::namespaced("ns", "good")).unwrap();
    assert_eq!(serde_json::to_value(&good.data).unwrap(), json!({ "a": "b" }));
    assert!(good.metadata.managed_fields.is_none());
    assert!(readiness.closed().is_empty());
    assert_eq!(runtime.metrics.malformed.get(["ConfigMap"]), 1);
    assert_eq!(runtime.metrics.watch_errors.get(["ConfigMap"]), 1);
    token.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn readiness_names_the_kinds_that_are_missing() {
    let (listed, unlisted) = (
        Cache::of([] as [ConfigMap; 0]),
        Cache::<k8s_openapi::api::core::v1::Node>::new(),
    );
    let readiness = Readiness::new();
    let (gate, token) = (readiness.gate("stores"), CancellationToken::new());
    let caches = Caches::new().with(&listed.store()).with(&unlisted.store());
    let waiting = tokio::time::timeout(Duration::from_millis(20), caches.ready(&gate, &token)).await;
    assert!(waiting.is_err());
    assert_eq!(
        readiness.closed(),
        [("stores", "not listed yet: Node".to_owned())]
    );
}
