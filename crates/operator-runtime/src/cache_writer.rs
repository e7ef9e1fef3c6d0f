//! The writing side of a cache: takes in watch events, in order. It does no I/O.
//!
//! It differs from kube's reflector in three ways. It has indexes. It reports the changes of each event, also of
//! objects that vanished while the watch was down. And an unreadable object keeps its last readable form.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::cache::{Cache, Index, IndexData, Inner, Shared, read, write};
use crate::key::Key;

/// A kind that fits a [`Cache`].
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
    /// Returns the kind, as a metric label and for messages.
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

/// One change of a cached object. An object whose content stayed the same is not reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Change<K> {
    /// Key of the object.
    pub key: Key,
    /// The object before the change; `None` if it was unknown.
    pub old: Option<Arc<K>>,
    /// The object after the change; `None` if it is gone.
    pub new: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// Iterates over the old and the new object: an object that changes hands concerns both owners.
    pub fn both(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(&self.new)
    }
}

/// The writing side of a [`Cache`].
pub struct CacheWriter<K> {
    shared: Shared<K>,
    ready: watch::Sender<bool>,
    /// Objects of a listing that is not complete yet.
    listing: BTreeMap<Key, Arc<K>>,
    /// Most objects of one namespace.
    per_namespace: usize,
}

impl<K> fmt::Debug for CacheWriter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheWriter")
            .field("listing", &self.listing.len())
            .finish_non_exhaustive()
    }
}

impl<K: Watched> Default for CacheWriter<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Watched> CacheWriter<K> {
    /// Returns an empty, unlisted cache.
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
            per_namespace: usize::MAX,
        }
    }

    /// Limits the objects of each namespace. Further ones are ignored until others are gone.
    pub(crate) fn limit(&mut self, per_namespace: usize) {
        self.per_namespace = per_namespace;
    }

    /// Returns a listed cache of these objects, for tests of readers.
    #[must_use]
    pub fn of(objects: impl IntoIterator<Item = K>) -> Self {
        let mut writer = Self::new();
        writer.apply(Event::Init);
        for object in objects {
            writer.apply(Event::InitApply(DeserializeGuard(Ok(object))));
        }
        writer.apply(Event::InitDone);
        writer
    }

    /// Returns the reading side.
    #[must_use]
    pub fn cache(&self) -> Cache<K> {
        Cache {
            shared: Arc::clone(&self.shared),
            ready: self.ready.subscribe(),
        }
    }

    /// Adds an index by the values that `keys_of` finds in an object. `keys_of` must depend on the object alone.
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

    /// Takes in one event and returns the changes.
    pub fn apply(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Change<K>> {
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
                let (key, latest) = (Key::of(&object), resource_version(object.meta()));
                if self.is_full(&read(&self.shared).objects, &key) {
                    self.advance(latest);
                    return Vec::new();
                }
                self.set(key, Some(Arc::new(object)), latest)
                    .into_iter()
                    .collect()
            }
            // Its last readable form stays: an unreadable claim must not count as deleted.
            Event::Apply(DeserializeGuard(Err(invalid))) => {
                self.advance(resource_version(&invalid.metadata));
                Vec::new()
            }
            Event::Delete(guard) => {
                let (key, latest) = (key_of(guard.meta()), resource_version(guard.meta()));
                self.set(key, None, latest).into_iter().collect()
            }
        }
    }

    fn list(&mut self, object: Result<K, ObjectMeta>) {
        match object {
            Ok(object) => {
                let key = Key::of(&object);
                if !self.is_full(&self.listing, &key) {
                    self.listing.insert(key, Arc::new(object));
                }
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

    /// Returns true if the namespace has no room for one more object.
    fn is_full(&self, objects: &BTreeMap<Key, Arc<K>>, key: &Key) -> bool {
        if self.per_namespace == usize::MAX || objects.contains_key(key) {
            return false;
        }
        let first = Key {
            namespace: key.namespace.clone(),
            name: String::new(),
        };
        let others = objects.range(first..).map(|(other, _)| &other.namespace);
        let others = others.take_while(|namespace| **namespace == key.namespace);
        others.take(self.per_namespace).count() == self.per_namespace
    }

    fn listed(&mut self) -> Vec<Change<K>> {
        let listing = std::mem::take(&mut self.listing);
        let deleted: Vec<Key> = read(&self.shared)
            .objects
            .keys()
            .filter(|key| !listing.contains_key(key))
            .cloned()
            .collect();
        let mut changes: Vec<_> = deleted
            .into_iter()
            .filter_map(|key| self.set(key, None, 0))
            .collect();
        for (key, object) in listing {
            let latest = resource_version(object.meta());
            changes.extend(self.set(key, Some(object), latest));
        }
        self.ready.send_replace(true);
        changes
    }

    fn set(&self, key: Key, new: Option<Arc<K>>, latest: u64) -> Option<Change<K>> {
        let old = {
            let mut inner = write(&self.shared);
            inner.latest = inner.latest.max(latest);
            inner.put(&key, new.as_ref())
        };
        let same = match (&old, &new) {
            (None, None) => true,
            (Some(old), Some(new)) => is_same::<K>(old, new),
            _ => false,
        };
        (!same).then_some(Change { key, old, new })
    }

    fn advance(&self, latest: u64) {
        let mut inner = write(&self.shared);
        inner.latest = inner.latest.max(latest);
    }
}

/// Returns true if two versions of an object have the same content. A stripped heartbeat changes only the version.
fn is_same<K: Watched>(old: &K, new: &K) -> bool {
    let (earlier, later) = (&old.meta().resource_version, &new.meta().resource_version);
    if earlier.is_some() && earlier == later {
        return old.meta().uid == new.meta().uid;
    }
    let mut aligned = old.clone();
    aligned
        .meta_mut()
        .resource_version
        .clone_from(&new.meta().resource_version);
    aligned == *new
}

fn key_of(meta: &ObjectMeta) -> Key {
    Key {
        namespace: meta.namespace.clone(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// Returns the resource version as a number, by which objects of one kind can be compared; 0 if it is not a number.
pub(crate) fn resource_version(meta: &ObjectMeta) -> u64 {
    meta.resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
