//! The stream against a catalogs that changes at chosen moments.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use preset_catalog::Catalog;

use super::*;
use crate::call::Calls;
use crate::catalog_store::{CatalogStore, UserFiles};

/// The built-in presets and `count` more, all of them called after `generation`.
fn catalog(generation: usize, count: usize) -> Catalog {
    let text: String = (0..count)
        .map(|index| {
            format!(
                "- {{hub_id: acme/g{generation}-{index}, license: mit, architecture: A, weights: 1Gi, \
                 max_context_tokens: 1, kv_bytes_per_token: 1}}\n"
            )
        })
        .collect();
    let built_in = Catalog::embedded().unwrap();
    built_in.overlay([("a.yaml", text.as_str())]).unwrap().catalog
}

struct World {
    catalogs: CatalogStore,
    stop: CancellationToken,
    watchers: Watchers,
    calls: Calls,
}

impl World {
    fn new(first: Catalog) -> Self {
        let metrics = Metrics::new();
        Self {
            catalogs: CatalogStore::new(first),
            stop: CancellationToken::new(),
            watchers: Watchers::new(&metrics, 2),
            calls: Calls::new(&metrics),
        }
    }

    fn watch(&self, known_version: &str, deadline: Option<Instant>) -> Client {
        let subscriber = Subscriber {
            known_version: known_version.to_owned(),
            catalogs: self.catalogs.subscribe(),
            stop: self.stop.clone(),
            deadline,
            ends_at: Instant::now() + Duration::from_secs(3600),
            caller: None,
            permit: self.watchers.permit().unwrap(),
            call: self.calls.begin("WatchPresets"),
        };
        Client {
            stream: Box::pin(subscriber.stream()),
            presets: BTreeMap::new(),
            version: known_version.to_owned(),
            complete: false,
        }
    }

    fn publish(&self, catalog: Catalog) {
        assert!(self.catalogs.publish(catalog, UserFiles::default()));
    }
}

/// A client as the contract wants it.
struct Client {
    stream: std::pin::Pin<Box<dyn Stream<Item = Message> + Send>>,
    presets: BTreeMap<String, v1::Preset>,
    version: String,
    complete: bool,
}

impl Client {
    /// Applies the next message that is there without waiting.
    fn step(&mut self) -> bool {
        let Some(Some(Ok(message))) = self.stream.next().now_or_never() else {
            return false;
        };
        match message.event.unwrap() {
            Event::Snapshot(chunk) => {
                if chunk.first {
                    self.presets.clear();
                }
                self.complete = chunk.last;
                self.take(chunk.presets);
            }
            Event::Delta(delta) => {
                assert!(
                    self.complete || self.presets.is_empty(),
                    "a delta amid a snapshot"
                );
                for name in delta.removed {
                    assert!(self.presets.remove(&name).is_some());
                }
                self.take(delta.added);
                self.take(delta.changed);
            }
        }
        self.version = message.catalog_version;
        true
    }

    fn take(&mut self, presets: Vec<v1::Preset>) {
        self.presets
            .extend(presets.into_iter().map(|preset| (preset.name.clone(), preset)));
    }

    fn drain(&mut self) -> usize {
        std::iter::repeat_with(|| self.step())
            .take_while(|more| *more)
            .count()
    }

    #[track_caller]
    fn has(&self, catalog: &Catalog) {
        assert_eq!(self.version, catalog.version());
        let names: Vec<_> = catalog.iter().map(|preset| preset.name.as_str()).collect();
        assert_eq!(self.presets.keys().collect::<Vec<_>>(), names);
    }
}

#[tokio::test]
async fn a_snapshot_in_pieces_then_deltas() {
    let large = catalog(0, 500);
    let world = World::new(large.clone());
    let mut client = world.watch("", None);
    assert!(client.drain() > 1, "500 presets are one piece");
    client.has(&large);
    for generation in 1..5 {
        let next = catalog(generation, generation);
        world.publish(next.clone());
        assert_eq!(client.drain(), 1);
        client.has(&next);
    }
}

#[tokio::test]
async fn who_knows_the_version_is_told_so() {
    let first = catalog(0, 3);
    let world = World::new(first.clone());
    let mut client = world.watch(first.version(), None);
    assert_eq!((client.drain(), client.presets.len()), (1, 0));
    world.publish(catalog(0, 4));
    assert_eq!(client.drain(), 1);
    assert_eq!(client.presets.keys().collect::<Vec<_>>(), ["g0-3"]);
}

#[tokio::test]
async fn who_reads_slowly_gets_a_new_snapshot() {
    let world = World::new(catalog(0, 3));
    let mut client = world.watch("", None);
    client.drain();
    for generation in 1..=5 {
        world.publish(catalog(generation, 1));
    }
    assert_eq!(client.drain(), 5, "five changes are remembered");
    client.has(&catalog(5, 1));
    for generation in 6..=40 {
        world.publish(catalog(generation, 1));
    }
    client.drain();
    client.has(&catalog(40, 1));
    assert_eq!(world.watchers.events.get(["resync"]), 1);
}

#[tokio::test]
async fn a_change_amid_a_snapshot_begins_it_anew() {
    let world = World::new(catalog(0, 500));
    let mut client = world.watch("", None);
    assert!(client.step() && !client.complete);
    let next = catalog(1, 400);
    world.publish(next.clone());
    client.drain();
    client.has(&next);
}

#[tokio::test]
async fn stopping_ends_the_stream_and_a_deadline_is_an_error() {
    let world = World::new(catalog(0, 1));
    let mut client = world.watch("", None);
    client.drain();
    let mut hurried = world.watch("", Some(Instant::now()));
    let status = hurried.stream.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(hurried.stream.next().await.is_none());
    world.stop.cancel();
    assert!(client.stream.next().await.is_none());
}

#[tokio::test]
async fn places_are_limited_and_given_back() {
    let world = World::new(catalog(0, 1));
    let (one, _two) = (world.watch("", None), world.watch("", None));
    let refused = world.watchers.permit().unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(world.watchers.gauge.get([]), 2.0);
    drop(one);
    assert!(world.watchers.permit().is_ok());
}
