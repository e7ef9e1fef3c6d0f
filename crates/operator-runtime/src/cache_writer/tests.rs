//! Content of a cache after each event, and the reported changes.

use k8s_openapi::api::core::v1::Node;
use kube::core::error_boundary::InvalidObject;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn node(name: &str, version: u64, pool: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
            "labels": { "agentpool": pool },
        },
    }))
    .unwrap()
}

fn good(node: Node) -> DeserializeGuard<Node> {
    DeserializeGuard(Ok(node))
}

fn bad(node: Node) -> DeserializeGuard<Node> {
    DeserializeGuard(Err(InvalidObject {
        error: "no".to_owned(),
        metadata: node.metadata,
    }))
}

fn list(cache: &mut CacheWriter<Node>, nodes: Vec<DeserializeGuard<Node>>) -> Vec<Change<Node>> {
    cache.apply(Event::Init);
    for node in nodes {
        assert!(cache.apply(Event::InitApply(node)).is_empty());
    }
    cache.apply(Event::InitDone)
}

fn names(nodes: &[Arc<Node>]) -> Vec<&str> {
    nodes
        .iter()
        .filter_map(|node| node.metadata.name.as_deref())
        .collect()
}

fn by_pool(cache: &mut CacheWriter<Node>) -> Index<Node> {
    cache.index(|node: &Node| {
        node.metadata
            .labels
            .iter()
            .flatten()
            .map(|(_, pool)| pool.clone())
            .collect()
    })
}

#[test]
fn an_index_follows_its_objects() {
    let mut cache = CacheWriter::of([node("a", 1, "p")]);
    let index = by_pool(&mut cache);
    cache.apply(Event::Apply(good(node("b", 2, "p"))));
    assert_eq!(names(&index.get("p")), ["a", "b"]);
    let touched = cache.apply(Event::Apply(good(node("a", 3, "q"))));
    assert_eq!(
        (names(&index.get("p")), names(&index.get("q"))),
        (vec!["b"], vec!["a"])
    );
    // Both owners hear of an object that changes hands.
    assert_eq!(touched[0].both().count(), 2);
    cache.apply(Event::Delete(good(node("b", 4, "p"))));
    assert!(index.get("p").is_empty());
    assert_eq!(cache.cache().len(), 1);
}

#[test]
fn the_store_shows_a_listing_only_when_it_is_complete() {
    let mut cache = CacheWriter::new();
    let store = cache.cache();
    cache.apply(Event::Init);
    cache.apply(Event::InitApply(good(node("a", 5, "p"))));
    assert!(store.is_empty() && !store.is_ready());
    assert_eq!(cache.apply(Event::InitDone).len(), 1);
    assert!(store.is_ready());
    assert_eq!((store.len(), store.latest()), (1, 5));
}

#[test]
fn a_relist_reports_what_vanished_and_what_changed_alone() {
    let mut cache = CacheWriter::of([
        node("same", 1, "p"),
        node("changed", 2, "p"),
        node("gone", 3, "p"),
    ]);
    let touched = list(
        &mut cache,
        vec![good(node("same", 1, "p")), good(node("changed", 9, "q"))],
    );
    let told: Vec<_> = touched
        .iter()
        .map(|t| (t.key.name.as_str(), t.new.is_some()))
        .collect();
    assert_eq!(told, [("gone", false), ("changed", true)]);
    assert_eq!(cache.cache().latest(), 9);
}

#[test]
fn a_new_version_of_the_same_content_is_stored_and_not_reported() {
    let mut cache = CacheWriter::of([node("a", 1, "p")]);
    assert!(cache.apply(Event::Apply(good(node("a", 2, "p")))).is_empty());
    let stored = cache.cache().get(&Key::cluster("a")).unwrap();
    assert_eq!(
        (
            stored.metadata.resource_version.as_deref(),
            cache.cache().latest()
        ),
        (Some("2"), 2)
    );
}

#[test]
fn an_object_that_cannot_be_read_keeps_its_last_form() {
    let mut cache = CacheWriter::of([node("a", 1, "p")]);
    assert!(cache.apply(Event::Apply(bad(node("a", 2, "q")))).is_empty());
    assert_eq!(cache.cache().latest(), 2);
    assert!(
        list(
            &mut cache,
            vec![
                bad(node("a", 3, "q")),
                bad(node("b", 4, "q")),
                good(node("c", 5, "q"))
            ]
        )
        .len()
            == 1
    );
    assert_eq!(names(&cache.cache().all()), ["a", "c"]);
    // Its deletion can be read all the same.
    assert_eq!(cache.apply(Event::Delete(bad(node("a", 6, "q")))).len(), 1);
    assert_eq!(names(&cache.cache().all()), ["c"]);
}

#[test]
fn an_object_made_anew_is_reported_even_if_unreadable_before() {
    let mut cache = CacheWriter::of([node("a", 1, "p")]);
    let mut anew = node("a", 2, "p");
    anew.metadata.uid = Some("other".to_owned());
    assert_eq!(list(&mut cache, vec![bad(anew.clone())]).len(), 1);
    assert!(cache.cache().is_empty());
    assert_eq!(cache.apply(Event::Apply(good(anew))).len(), 1);
}

proptest! {
    #[test]
    fn an_index_is_what_a_scan_would_find(events in proptest::collection::vec((0_u8..6, 0_u8..4, any::<bool>()), 0..60)) {
        let mut cache = CacheWriter::new();
        let index = by_pool(&mut cache);
        let store = cache.cache();
        for (version, (name, pool, delete)) in events.into_iter().enumerate() {
            let object = good(node(&name.to_string(), version as u64, &pool.to_string()));
            cache.apply(if delete { Event::Delete(object) } else { Event::Apply(object) });
            for pool in 0..4_u8 {
                let pool = pool.to_string();
                let scan = store.filter(|node| node.metadata.labels.iter().flatten().any(|(_, p)| *p == pool));
                prop_assert_eq!(index.get(&pool), scan);
            }
        }
    }
}

#[test]
fn a_limited_namespace_takes_no_more_objects_until_others_are_gone() {
    let pod = |namespace: &str, name: &str| {
        let mut node = node(name, 5, "a");
        node.metadata.namespace = Some(namespace.to_owned());
        node
    };
    let mut cache = CacheWriter::new();
    cache.limit(2);
    let listed = ["a", "b", "c"].map(|name| good(pod("full", name)));
    list(
        &mut cache,
        listed.into_iter().chain([good(pod("other", "a"))]).collect(),
    );
    let reader = cache.cache();
    assert_eq!(names(&reader.all()), ["a", "b", "a"]);
    assert!(cache.apply(Event::Apply(good(pod("full", "d")))).is_empty());
    let mut changed = pod("full", "b");
    changed.metadata.labels = None;
    changed.metadata.resource_version = Some("6".to_owned());
    assert_eq!(cache.apply(Event::Apply(good(changed))).len(), 1);
    assert_eq!(cache.apply(Event::Delete(good(pod("full", "a")))).len(), 1);
    assert_eq!(cache.apply(Event::Apply(good(pod("full", "d")))).len(), 1);
    assert_eq!(names(&reader.all()), ["b", "d", "a"]);
}
