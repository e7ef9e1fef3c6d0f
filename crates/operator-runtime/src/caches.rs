//! All caches of a program together: whether they are filled, and whether they show a write of ours.

use std::fmt;
use std::sync::Arc;

use plan::{ObjectRef, PendingWrite};
use serve::Gate;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::cache_writer::Watched;
use crate::key::Key;

/// All caches of a program, of any kind.
#[derive(Clone, Debug, Default)]
pub struct Caches {
    caches: Vec<Arc<dyn AnyCache>>,
}

impl Caches {
    /// Returns an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cache. Add each: the first plans must not see an empty cluster.
    #[must_use]
    pub fn with<K: Watched>(mut self, cache: &Cache<K>) -> Self {
        self.caches.push(Arc::new(cache.clone()));
        self
    }

    /// Waits until every cache has its first complete listing; the gate names those that do not.
    pub async fn ready(&self, gate: &Gate, token: &CancellationToken) {
        loop {
            let missing: Vec<_> = self.caches.iter().filter(|cache| !cache.is_listed()).collect();
            let Some(first) = missing.first() else { break };
            let names: Vec<_> = missing.iter().map(|cache| cache.kind()).collect();
            gate.set(false, format!("not listed yet: {}", names.join(", ")));
            tokio::select! {
                () = first.listed() => {}
                () = token.cancelled() => return,
            }
        }
        gate.set(true, "");
    }

    /// Reports whether the caches show this write. A write of a kind without a watch counts as shown.
    pub(crate) fn shows(&self, write: &PendingWrite) -> bool {
        self.caches
            .iter()
            .filter(|cache| cache.kind() == write.kind().as_str())
            .all(|cache| match write {
                PendingWrite::Version { version, .. } => cache.latest_version() >= *version,
                PendingWrite::Deleted { target, uid } => !cache.has_live(target, uid),
            })
    }
}

#[async_trait::async_trait]
trait AnyCache: fmt::Debug + Send + Sync {
    fn kind(&self) -> &'static str;
    fn is_listed(&self) -> bool;
    async fn listed(&self);
    fn latest_version(&self) -> u64;
    /// Returns true if the object exists and is not terminating.
    fn has_live(&self, target: &ObjectRef, uid: &str) -> bool;
}

#[async_trait::async_trait]
impl<K: Watched> AnyCache for Cache<K> {
    fn kind(&self) -> &'static str {
        K::kind_name()
    }

    fn is_listed(&self) -> bool {
        self.is_ready()
    }

    async fn listed(&self) {
        self.ready().await;
    }

    fn latest_version(&self) -> u64 {
        self.latest()
    }

    fn has_live(&self, target: &ObjectRef, uid: &str) -> bool {
        self.get(&Key::from(target)).is_some_and(|object| {
            let meta = object.meta();
            meta.uid.as_deref() == Some(uid) && meta.deletion_timestamp.is_none()
        })
    }
}

#[cfg(test)]
mod tests;
