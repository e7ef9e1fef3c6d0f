//! From the server's responses to the cache.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use serve::Readiness;
use telemetry::Metrics;

use super::*;
use crate::caches::Caches;
use crate::key::Key;
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

fn strip(object: &mut ConfigMap) {
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
    let runtime = Runtime::new(client, "tester", &Metrics::new(), crate::Health::default());
    let watch = runtime.watch::<ConfigMap>(watcher::Config::default(), strip);
    let cache = watch.cache();
    let changed: Arc<Mutex<Vec<String>>> = Arc::default();
    let token = CancellationToken::new();
    let changes = Arc::clone(&changed);
    let seen_in = cache.clone();
    let running = tokio::spawn(watch.run(token.clone(), move |change| {
        // The cache comes first.
        assert!(seen_in.get(&change.key).is_some());
        changes.lock().unwrap().push(change.key.to_string());
    }));
    let readiness = Readiness::new();
    Caches::new()
        .with(&cache)
        .ready(&readiness.gate("caches"), &token)
        .await;
    tokio::time::sleep(Duration::from_millis(10)).await;

    assert_eq!(*changed.lock().unwrap(), ["ns/good"]);
    let good = cache.get(&Key::namespaced("ns", "good")).unwrap();
    assert_eq!(serde_json::to_value(&good.data).unwrap(), json!({ "a": "b" }));
    assert!(good.metadata.managed_fields.is_none());
    assert!(readiness.closed().is_empty());
    assert_eq!(runtime.metrics.malformed.get(["ConfigMap"]), 1);
    assert_eq!(runtime.metrics.watch_errors.get(["ConfigMap"]), 1);
    token.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn objects_that_do_not_match_are_not_kept() {
    let (client, _log) = serve(|_| None);
    let runtime = Runtime::new(client, "tester", &Metrics::new(), crate::Health::default());
    let wanted = |object: &ConfigMap| {
        let data = object.data.as_ref();
        data.is_some_and(|data| data.contains_key("big"))
    };
    let mut watch = runtime
        .watch::<ConfigMap>(watcher::Config::default(), strip)
        .keep_only(wanted, 8);
    let cache = watch.cache();
    let object =
        |name: &str, data: &Value| DeserializeGuard(Ok(serde_json::from_value(item(name, data)).unwrap()));
    let big = json!({"big": "x"});
    watch.take(Event::Init);
    watch.take(Event::InitApply(object("a", &big)));
    watch.take(Event::InitApply(object("b", &json!({}))));
    watch.take(Event::InitDone);
    assert_eq!(cache.len(), 1);
    assert!(watch.take(Event::Apply(object("b", &json!({})))).is_empty());
    assert_eq!(watch.take(Event::Apply(object("b", &big))).len(), 1);
    // One that matches no longer leaves the cache.
    assert_eq!(watch.take(Event::Apply(object("a", &json!({})))).len(), 1);
    assert_eq!(cache.len(), 1);
}
