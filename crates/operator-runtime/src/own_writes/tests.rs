//! A pass waits for the echo of its own writes, and not for ever.

use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::cache::Cache;

fn pod(version: u64, uid: &str) -> Pod {
    let meta = json!({ "name": "p", "namespace": "ns", "uid": uid, "resourceVersion": version.to_string() });
    serde_json::from_value(json!({ "metadata": meta })).unwrap()
}

fn show(cache: &mut Cache<Pod>, pod: Pod) {
    cache.apply(Event::Apply(DeserializeGuard(Ok(pod))));
}

fn at(version: u64) -> Wrote {
    Wrote::Version {
        kind: Kind::Pod,
        version,
    }
}

fn gone(uid: &str) -> Wrote {
    Wrote::Gone {
        target: Key::namespaced("ns", "p").target(Kind::Pod),
        uid: uid.to_owned(),
    }
}

#[test]
fn a_version_is_visible_when_the_watch_has_passed_it() {
    let mut cache = Cache::of([pod(1, "u")]);
    let caches = Caches::new().with(&cache.store());
    let (mut own, key, now) = (OwnWrites::default(), Key::cluster("m"), Instant::now());
    own.record(&key, vec![at(3)], now);
    assert!(!own.are_visible(&key, &caches, now));
    assert!(own.are_visible(&Key::cluster("other"), &caches, now));
    show(&mut cache, pod(2, "u"));
    assert!(!own.are_visible(&key, &caches, now));
    show(&mut cache, pod(4, "u"));
    assert!(own.are_visible(&key, &caches, now));
}

#[test]
fn a_deletion_is_visible_as_absence_mark_or_successor() {
    let mut marked = pod(2, "u");
    marked.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    let shows = |cache: &Cache<Pod>| Caches::new().with(&cache.store()).shows(&gone("u"));
    assert!(!shows(&Cache::of([pod(1, "u")])));
    assert!(shows(&Cache::of([marked])));
    assert!(shows(&Cache::of([pod(3, "successor")])));
    assert!(shows(&Cache::new()));
}

#[test]
fn a_lagging_store_is_used_in_the_end() {
    let cache = Cache::of([pod(1, "u")]);
    let caches = Caches::new().with(&cache.store());
    let (mut own, key, now) = (OwnWrites::default(), Key::cluster("m"), Instant::now());
    own.record(&key, vec![at(9), gone("u")], now);
    assert!(!own.are_visible(&key, &caches, now + PATIENCE / 2));
    assert!(own.are_visible(&key, &caches, now + PATIENCE));
    assert!(own.are_visible(&key, &caches, now));
}

#[test]
fn kinds_that_nobody_watches_hold_up_nothing() {
    assert!(Caches::new().shows(&at(9)) && Caches::new().shows(&gone("u")));
}
