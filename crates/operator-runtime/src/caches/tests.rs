//! Readiness, and the echo of our own writes: awaited, but not for ever.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use plan::pending::PATIENCE;
use plan::{Kind, PendingWrites, Visibility};
use serde_json::json;
use serve::Readiness;
use tokio::time::Instant;

use super::*;
use crate::cache_writer::CacheWriter;

fn pod(version: u64, uid: &str) -> Pod {
    let meta = json!({ "name": "p", "namespace": "ns", "uid": uid, "resourceVersion": version.to_string() });
    serde_json::from_value(json!({ "metadata": meta })).unwrap()
}

fn show(cache: &mut CacheWriter<Pod>, pod: Pod) {
    cache.apply(Event::Apply(DeserializeGuard(Ok(pod))));
}

fn at(version: u64) -> PendingWrite {
    PendingWrite::Version {
        kind: Kind::Pod,
        version,
    }
}

fn deleted(uid: &str) -> PendingWrite {
    PendingWrite::Deleted {
        target: Key::namespaced("ns", "p").target(Kind::Pod),
        uid: uid.to_owned(),
    }
}

#[tokio::test]
async fn readiness_names_the_kinds_that_are_missing() {
    let (listed, unlisted) = (CacheWriter::of([] as [ConfigMap; 0]), CacheWriter::<Node>::new());
    let readiness = Readiness::new();
    let (gate, token) = (readiness.gate("caches"), CancellationToken::new());
    let caches = Caches::new().with(&listed.cache()).with(&unlisted.cache());
    let waiting = tokio::time::timeout(Duration::from_millis(20), caches.ready(&gate, &token)).await;
    assert!(waiting.is_err());
    assert_eq!(
        readiness.closed(),
        [("caches".to_owned(), "not listed yet: Node".to_owned())]
    );
}

#[test]
fn a_version_is_visible_when_the_watch_has_passed_it() {
    let mut cache = CacheWriter::of([pod(1, "u")]);
    let caches = Caches::new().with(&cache.cache());
    let (mut pending, key, now) = (PendingWrites::default(), Key::cluster("m"), Instant::now());
    pending.record(key.clone(), vec![at(3)], now);
    let mut shown =
        |key: &Key| pending.visibility(key, |write| caches.shows(write), now) == Visibility::Shown;
    assert!(!shown(&key));
    assert!(shown(&Key::cluster("other")));
    show(&mut cache, pod(2, "u"));
    assert!(!shown(&key));
    show(&mut cache, pod(4, "u"));
    assert!(shown(&key));
}

#[test]
fn a_deletion_is_visible_as_absence_mark_or_successor() {
    let mut marked = pod(2, "u");
    marked.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    let shows = |cache: &CacheWriter<Pod>| Caches::new().with(&cache.cache()).shows(&deleted("u"));
    assert!(!shows(&CacheWriter::of([pod(1, "u")])));
    assert!(shows(&CacheWriter::of([marked])));
    assert!(shows(&CacheWriter::of([pod(3, "successor")])));
    assert!(shows(&CacheWriter::new()));
}

#[test]
fn a_lagging_cache_is_used_in_the_end() {
    let cache = CacheWriter::of([pod(1, "u")]);
    let caches = Caches::new().with(&cache.cache());
    let (mut pending, key, now) = (PendingWrites::default(), Key::cluster("m"), Instant::now());
    pending.record(key.clone(), vec![at(9), deleted("u")], now);
    let mut visibility = |now| pending.visibility(&key, |write| caches.shows(write), now);
    assert_eq!(visibility(now + PATIENCE / 2), Visibility::Awaited);
    assert!(matches!(visibility(now + PATIENCE), Visibility::Overdue(_)));
    assert_eq!(visibility(now + PATIENCE), Visibility::Shown);
}

#[test]
fn kinds_without_a_watch_hold_up_nothing() {
    assert!(Caches::new().shows(&at(9)) && Caches::new().shows(&deleted("u")));
}
