//! The reading side of what is known of one kind: objects by key, and indexes over them.
//!
//! Reads never wait for the network; what they see is what the watch has shown so far.

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
        let before = match object {
            Some(object) => self.objects.insert(key.clone(), Arc::clone(object)),
            None => self.objects.remove(key),
        };
        for index in &mut self.indexes {
            if let Some(before) = &before {
                index.remove(key, before);
            }
            if let Some(after) = object {
                index.add(key, after);
            }
        }
        before
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

/// Reads what is known of one kind; clones read the same.
pub struct Store<K> {
    pub(crate) shared: Shared<K>,
    pub(crate) ready: watch::Receiver<bool>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ready: self.ready.clone(),
        }
    }
}

impl<K> Store<K> {
    /// The object of this key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        read(&self.shared).objects.get(key).cloned()
    }

    /// All objects, by key.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        read(&self.shared).objects.values().cloned().collect()
    }

    /// The objects that fulfil a condition, by key. Looks at every one: prefer an [`Index`].
    pub fn filter(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        read(&self.shared)
            .objects
            .values()
            .filter(|object| wanted(object))
            .cloned()
            .collect()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        read(&self.shared).objects.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the first listing is complete.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until the first listing is complete.
    pub async fn ready(&self) {
        // An error means that the writer is gone, and then waiting is all that is left to do.
        if self.ready.clone().wait_for(|ready| *ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The highest resource version that the watch has shown.
    #[must_use]
    pub fn latest(&self) -> u64 {
        read(&self.shared).latest
    }
}

impl<K> fmt::Debug for Store<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Finds the objects of a [`Store`] by something other than their key; clones read the same.
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
    /// The objects with this value, by key.
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
