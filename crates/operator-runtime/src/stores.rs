//! Watches: from the API server's events into a [`Store`], and only then to whoever wants to know.

use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as start_watcher};
use kube::{Api, Client, Resource as _};
use plan::ObjectRef;
use serve::Gate;
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Touched, Watched, version};
use crate::error::Chain;
use crate::key::Key;
use crate::own_writes::Wrote;
use crate::runtime::RuntimeMetrics;
use crate::store::{Index, Store};

type Source<K> = BoxStream<'static, Result<Event<DeserializeGuard<K>>, watcher::Error>>;

/// A watch over all objects of one kind, not yet running.
pub struct Watch<K> {
    cache: Cache<K>,
    source: Source<K>,
    trim: fn(&mut K),
    metrics: RuntimeMetrics,
}

impl<K> fmt::Debug for Watch<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// Prepares a watch. `trim` drops what nobody reads: memory, and triggers by heartbeats. Managed fields are
/// dropped anyway.
pub(crate) fn watch<K: Watched>(
    client: &Client,
    config: watcher::Config,
    trim: fn(&mut K),
    metrics: RuntimeMetrics,
) -> Watch<K> {
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let source = start_watcher(api, config).default_backoff().boxed();
    Watch {
        cache: Cache::new(),
        source,
        trim,
        metrics,
    }
}

impl<K: Watched> Watch<K> {
    /// The store that the watch fills.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.cache.store()
    }

    /// A new index of the store, by the values that `keys_of` finds in an object.
    pub fn index(&mut self, keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Index<K> {
        self.cache.index(keys_of)
    }

    /// Watches until the token is cancelled. `on_touched` is called after the store shows the change; it should
    /// only enqueue keys.
    ///
    /// # Errors
    /// When the watch ends by itself, which it never should: failures are retried.
    pub async fn run(
        mut self,
        token: CancellationToken,
        mut on_touched: impl FnMut(&Touched<K>) + Send,
    ) -> anyhow::Result<()> {
        loop {
            let event = tokio::select! {
                () = token.cancelled() => return Ok(()),
                event = self.source.try_next() => event,
            };
            match event {
                Ok(Some(event)) => self.take(event).iter().for_each(&mut on_touched),
                Ok(None) => anyhow::bail!("the watch of {} ended", K::kind_name()),
                Err(error) => self.failed(&error),
            }
        }
    }

    fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Touched<K>> {
        if let Event::Apply(guard) | Event::InitApply(guard) = &event
            && let Err(invalid) = &guard.0
        {
            self.metrics.malformed.inc([K::kind_name()]);
            tracing::error!(
                kind = K::kind_name(),
                namespace = guard.meta().namespace,
                name = guard.meta().name,
                error = invalid.error,
                "an object cannot be read; its last readable form is kept"
            );
        }
        let trim = self.trim;
        self.cache.apply(event.modify(|guard| {
            guard.meta_mut().managed_fields = None;
            if let Ok(object) = &mut guard.0 {
                trim(object);
            }
        }))
    }

    fn failed(&self, error: &watcher::Error) {
        self.metrics.watch_errors.inc([K::kind_name()]);
        let kind = K::kind_name();
        if is_denied(error) {
            tracing::error!(kind, error = %Chain(error), "may not list and watch; check the role of this program");
        } else {
            tracing::warn!(kind, error = %Chain(error), "the watch failed and is retried");
        }
    }
}

fn is_denied(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(source)
    | watcher::Error::WatchStartFailed(source)
    | watcher::Error::WatchFailed(source)) = error
    else {
        return false;
    };
    matches!(source, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

/// All stores of a program, whatever their kind.
#[derive(Clone, Debug, Default)]
pub struct Caches {
    stores: Vec<Arc<dyn AnyStore>>,
}

impl Caches {
    /// No stores.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a store. Add each: the first plans must not see an empty world.
    #[must_use]
    pub fn with<K: Watched>(mut self, store: &Store<K>) -> Self {
        self.stores.push(Arc::new(store.clone()));
        self
    }

    /// Waits until every store's first listing is complete; the gate names those that are not.
    pub async fn ready(&self, gate: &Gate, token: &CancellationToken) {
        loop {
            let missing: Vec<_> = self.stores.iter().filter(|store| !store.is_listed()).collect();
            let Some(first) = missing.first() else { break };
            let names: Vec<_> = missing.iter().map(|store| store.kind()).collect();
            gate.set(false, format!("not listed yet: {}", names.join(", ")));
            tokio::select! {
                () = first.listed() => {}
                () = token.cancelled() => return,
            }
        }
        gate.set(true, "");
    }

    /// Whether the stores show this write; so it seems for kinds that nobody watches.
    pub(crate) fn shows(&self, wrote: &Wrote) -> bool {
        let kind = match wrote {
            Wrote::Version { kind, .. } => *kind,
            Wrote::Gone { target, .. } => target.kind,
        };
        self.stores
            .iter()
            .filter(|store| store.kind() == kind.as_str())
            .all(|store| match wrote {
                Wrote::Version { version, .. } => store.latest_version() >= *version,
                Wrote::Gone { target, uid } => !store.has_living(target, uid),
            })
    }
}

#[async_trait::async_trait]
trait AnyStore: fmt::Debug + Send + Sync {
    fn kind(&self) -> &'static str;
    fn is_listed(&self) -> bool;
    async fn listed(&self);
    fn latest_version(&self) -> u64;
    /// Whether the object is there and not being deleted.
    fn has_living(&self, target: &ObjectRef, uid: &str) -> bool;
}

#[async_trait::async_trait]
impl<K: Watched> AnyStore for Store<K> {
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

    fn has_living(&self, target: &ObjectRef, uid: &str) -> bool {
        self.get(&Key::from(target)).is_some_and(|object| {
            let meta = object.meta();
            meta.uid.as_deref() == Some(uid) && meta.deletion_timestamp.is_none()
        })
    }
}

/// The resource version of a reply, if it can be compared.
pub(crate) fn comparable(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Option<u64> {
    Some(version(meta)).filter(|version| *version > 0)
}

#[cfg(test)]
mod tests;
