//! Objects of one kind, kept current by a watch: the reading side, with indexes.
//!
//! Reads never wait for the network; they see the state that the watch has shown so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use crate::key::Key;

pub(crate) type KeysOf<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

pub(crate) struct IndexData<K> {
    pub(crate) keys_of: KeysOf<K>,
    pub(crate) entries: HashMap<String, BTreeSet<Key>>,
}

pub(crate) struct Inner<K> {
    pub(crate) objects: BTreeMap<Key, Arc<K>>,
    pub(crate) indexes: Vec<IndexData<K>>,
    pub(crate) latest: u64,
}

impl<K> Inner<K> {
    pub(crate) fn put(&mut self, key: &Key, object: Option<&Arc<K>>) -> Option<Arc<K>> {
        let old = match object {
            Some(object) => self.objects.insert(key.clone(), Arc::clone(object)),
            None => self.objects.remove(key),
        };
        for index in &mut self.indexes {
            if let Some(old) = &old {
                index.remove(key, old);
            }
            if let Some(new) = object {
                index.add(key, new);
            }
        }
        old
    }
}

impl<K> IndexData<K> {
    pub(crate) fn add(&mut self, key: &Key, object: &K) {
        for value in (self.keys_of)(object) {
            self.entries.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.keys_of)(object) {
            if let Some(keys) = self.entries.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.entries.remove(&value);
                }
            }
        }
    }
}

pub(crate) type Shared<K> = Arc<RwLock<Inner<K>>>;

pub(crate) fn read<K>(shared: &Shared<K>) -> RwLockReadGuard<'_, Inner<K>> {
    shared.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<K>(shared: &Shared<K>) -> RwLockWriteGuard<'_, Inner<K>> {
    shared.write().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the cached objects of one kind; clones read the same objects.
pub struct Cache<K> {
    pub(crate) shared: Shared<K>,
    pub(crate) ready: watch::Receiver<bool>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ready: self.ready.clone(),
        }
    }
}

impl<K> Cache<K> {
    /// Returns the object of this key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        read(&self.shared).objects.get(key).cloned()
    }

    /// Returns true if there is an object of this key.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        read(&self.shared).objects.contains_key(key)
    }

    /// Returns all objects, by key.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        read(&self.shared).objects.values().cloned().collect()
    }

    /// Returns the objects that match, by key. It visits every object: prefer an [`Index`].
    pub fn filter(&self, matches: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        read(&self.shared)
            .objects
            .values()
            .filter(|object| matches(object))
            .cloned()
            .collect()
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        read(&self.shared).objects.len()
    }

    /// Returns true if there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if the first listing is complete.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until the first listing is complete.
    pub async fn ready(&self) {
        // An error means that the writer is gone, so the listing never completes.
        if self.ready.clone().wait_for(|ready| *ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Highest resource version that the watch has shown.
    #[must_use]
    pub(crate) fn latest(&self) -> u64 {
        read(&self.shared).latest
    }
}

impl<K> fmt::Debug for Cache<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Finds the objects of a [`Cache`] by a value other than their key; clones read the same objects.
pub struct Index<K> {
    pub(crate) shared: Shared<K>,
    pub(crate) position: usize,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            position: self.position,
        }
    }
}

impl<K> Index<K> {
    /// Returns the objects with this value, by key.
    #[must_use]
    pub fn get(&self, value: &str) -> Vec<Arc<K>> {
        let inner = read(&self.shared);
        let keys = inner
            .indexes
            .get(self.position)
            .and_then(|index| index.entries.get(value));
        keys.into_iter()
            .flatten()
            .filter_map(|key| inner.objects.get(key).cloned())
            .collect()
    }
}

impl<K> fmt::Debug for Index<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
