//! The writing side of what is known of one kind: takes in watch events, in order. It does no I/O itself.
//!
//! It differs from kube's own reflector in three ways: indexes, a report of what each event changed (also what
//! vanished while the watch was down), and objects that cannot be read keep their last readable form.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::key::Key;
use crate::store::{Index, IndexData, Inner, Shared, Store, read, write};

/// A kind that can be kept in a [`Store`].
pub trait Watched:
    Resource<DynamicType = ()>
    + Clone
    + fmt::Debug
    + PartialEq
    + serde::de::DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind, as a metric label and a word for people.
    #[must_use]
    fn kind_name() -> &'static str {
        match Self::kind(&()) {
            std::borrow::Cow::Borrowed(kind) => kind,
            std::borrow::Cow::Owned(_) => "other",
        }
    }
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()>
        + Clone
        + fmt::Debug
        + PartialEq
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// What an event changed. Objects whose content stayed the same are not reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Touched<K> {
    /// Which object.
    pub key: Key,
    /// How it was, if it was known.
    pub before: Option<Arc<K>>,
    /// How it is, if it still is.
    pub after: Option<Arc<K>>,
}

impl<K> Touched<K> {
    /// How it was and how it is: an object that changes hands concerns both owners.
    pub fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        self.before.iter().chain(&self.after)
    }
}

/// The writing side of a [`Store`].
pub struct Cache<K> {
    shared: Shared<K>,
    ready: watch::Sender<bool>,
    /// What a listing under way has shown so far.
    listing: BTreeMap<Key, Arc<K>>,
}

impl<K> fmt::Debug for Cache<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("listing", &self.listing.len())
            .finish_non_exhaustive()
    }
}

impl<K: Watched> Default for Cache<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Watched> Cache<K> {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            objects: BTreeMap::new(),
            indexes: Vec::new(),
            latest: 0,
        };
        Self {
            shared: Arc::new(RwLock::new(inner)),
            ready: watch::Sender::new(false),
            listing: BTreeMap::new(),
        }
    }

    /// A full listing of these objects: for tests of what reads a store.
    #[must_use]
    pub fn of(objects: impl IntoIterator<Item = K>) -> Self {
        let mut cache = Self::new();
        cache.apply(Event::Init);
        for object in objects {
            cache.apply(Event::InitApply(DeserializeGuard(Ok(object))));
        }
        cache.apply(Event::InitDone);
        cache
    }

    /// The reading side.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        Store {
            shared: Arc::clone(&self.shared),
            ready: self.ready.subscribe(),
        }
    }

    /// A new index by the values that `keys_of` finds in an object. `keys_of` must depend on the object alone.
    pub fn index(&mut self, keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Index<K> {
        let mut inner = write(&self.shared);
        let mut data = IndexData {
            keys_of: Box::new(keys_of),
            entries: HashMap::new(),
        };
        for (key, object) in &inner.objects {
            data.add(key, object);
        }
        inner.indexes.push(data);
        Index {
            shared: Arc::clone(&self.shared),
            position: inner.indexes.len() - 1,
        }
    }

    /// Takes in one event and tells what it changed.
    pub fn apply(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Touched<K>> {
        match event {
            Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            Event::InitApply(DeserializeGuard(object)) => {
                self.list(object.map_err(|invalid| invalid.metadata));
                Vec::new()
            }
            Event::InitDone => self.listed(),
            Event::Apply(DeserializeGuard(Ok(object))) => {
                let (key, latest) = (Key::of(&object), version(object.meta()));
                self.set(key, Some(Arc::new(object)), latest)
                    .into_iter()
                    .collect()
            }
            // Its last readable form stays: to us a claim that cannot be read is not a claim that is gone.
            Event::Apply(DeserializeGuard(Err(invalid))) => {
                self.advance(version(&invalid.metadata));
                Vec::new()
            }
            Event::Delete(guard) => {
                let (key, latest) = (key_of(guard.meta()), version(guard.meta()));
                self.set(key, None, latest).into_iter().collect()
            }
        }
    }

    fn list(&mut self, object: Result<K, ObjectMeta>) {
        match object {
            Ok(object) => {
                self.listing.insert(Key::of(&object), Arc::new(object));
            }
            Err(meta) => {
                let key = key_of(&meta);
                let known = read(&self.shared).objects.get(&key).cloned();
                if let Some(known) = known.filter(|known| known.meta().uid == meta.uid) {
                    self.listing.insert(key, known);
                }
            }
        }
    }

    fn listed(&mut self) -> Vec<Touched<K>> {
        let listing = std::mem::take(&mut self.listing);
        let gone: Vec<Key> = read(&self.shared)
            .objects
            .keys()
            .filter(|key| !listing.contains_key(key))
            .cloned()
            .collect();
        let mut touched: Vec<_> = gone
            .into_iter()
            .filter_map(|key| self.set(key, None, 0))
            .collect();
        for (key, object) in listing {
            let latest = version(object.meta());
            touched.extend(self.set(key, Some(object), latest));
        }
        self.ready.send_replace(true);
        touched
    }

    fn set(&self, key: Key, after: Option<Arc<K>>, latest: u64) -> Option<Touched<K>> {
        let before = {
            let mut inner = write(&self.shared);
            inner.latest = inner.latest.max(latest);
            inner.put(&key, after.as_ref())
        };
        let same = match (&before, &after) {
            (None, None) => true,
            (Some(before), Some(after)) => is_same::<K>(before, after),
            _ => false,
        };
        (!same).then_some(Touched { key, before, after })
    }

    fn advance(&self, latest: u64) {
        let mut inner = write(&self.shared);
        inner.latest = inner.latest.max(latest);
    }
}

/// Whether two versions of an object have the same content. A trimmed heartbeat changes the version alone.
fn is_same<K: Watched>(before: &K, after: &K) -> bool {
    let (earlier, later) = (&before.meta().resource_version, &after.meta().resource_version);
    if earlier.is_some() && earlier == later {
        return before.meta().uid == after.meta().uid;
    }
    let mut aligned = before.clone();
    aligned
        .meta_mut()
        .resource_version
        .clone_from(&after.meta().resource_version);
    aligned == *after
}

fn key_of(meta: &ObjectMeta) -> Key {
    Key {
        namespace: meta.namespace.clone(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// Resource versions of one kind can be compared as numbers; one that cannot be read is older than all.
pub(crate) fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
