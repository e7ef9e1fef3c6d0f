//! Watches: from the API server's events into a [`Cache`], and then to the callback that enqueues keys.

use std::fmt;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as start_watcher};
use kube::{Api, Client, Resource as _};
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Index};
use crate::cache_writer::{CacheWriter, Change, Watched};
use crate::error::Chain;
use crate::health::{Health, Pulse};
use crate::metrics::RuntimeMetrics;

type Matches<K> = Box<dyn Fn(&K) -> bool + Send>;
type Source<K> = BoxStream<'static, Result<Event<DeserializeGuard<K>>, watcher::Error>>;

/// A watch over all objects of one kind, or over one object, not running yet.
pub struct Watch<K> {
    writer: CacheWriter<K>,
    source: Source<K>,
    matches: Option<Matches<K>>,
    strip: fn(&mut K),
    metrics: RuntimeMetrics,
    /// `None` for a watch that is no part of the probes.
    health: Option<Health>,
    pulse: Pulse,
}

impl<K> fmt::Debug for Watch<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}

impl<K: Watched> Watch<K> {
    /// Prepares a watch. `strip` drops fields that no reader uses; managed fields are always dropped.
    pub(crate) fn new(
        client: &Client,
        config: watcher::Config,
        strip: fn(&mut K),
        metrics: RuntimeMetrics,
        health: Health,
    ) -> Self {
        let pulse = Pulse::new();
        let api: Api<DeserializeGuard<K>> = Api::all(pulse.listen(client));
        let config = config.timeout(health.watch_seconds());
        Self {
            health: Some(health),
            pulse,
            ..Self::of(api, config, strip, metrics)
        }
    }

    /// Prepares a watch of one object. It comes and goes, so it is no part of the probes: those of whole kinds show the
    /// state of the connection.
    pub(crate) fn of_one(
        client: &Client,
        (namespace, name): (&str, &str),
        strip: fn(&mut K),
        metrics: RuntimeMetrics,
        health: &Health,
    ) -> Self
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
    {
        let api: Api<DeserializeGuard<K>> = Api::namespaced(client.clone(), namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        Self::of(api, config.timeout(health.watch_seconds()), strip, metrics)
    }

    fn of(
        api: Api<DeserializeGuard<K>>,
        config: watcher::Config,
        strip: fn(&mut K),
        metrics: RuntimeMetrics,
    ) -> Self {
        Self {
            writer: CacheWriter::new(),
            source: start_watcher(api, config).default_backoff().boxed(),
            matches: None,
            strip,
            metrics,
            health: None,
            pulse: Pulse::new(),
        }
    }

    /// Keeps only the objects that match, and at most `per_namespace` of them in a namespace. It is for kinds that others
    /// create in any number. `matches` sees whole objects and may read other caches.
    #[must_use]
    pub fn keep_only(mut self, matches: impl Fn(&K) -> bool + Send + 'static, per_namespace: usize) -> Self {
        self.matches = Some(Box::new(matches));
        self.writer.limit(per_namespace);
        self
    }

    /// Cache that the watch fills.
    #[must_use]
    pub fn cache(&self) -> Cache<K> {
        self.writer.cache()
    }

    /// Adds an index of the cache, by the values that `keys_of` finds in an object.
    pub fn index(&mut self, keys_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) -> Index<K> {
        self.writer.index(keys_of)
    }

    /// Watches until the token is canceled. `on_change` is called after the cache shows the change; it should only
    /// enqueue keys.
    ///
    /// # Errors
    /// If the watch ends by itself, which it never should: failures are retried.
    pub async fn run(
        mut self,
        token: CancellationToken,
        mut on_change: impl FnMut(&Change<K>) + Send,
    ) -> anyhow::Result<()> {
        // From now on: the definition of a kind may be installed long after the program has started.
        self.pulse.record_success();
        if let Some(health) = &self.health {
            health.add_watch(K::kind_name(), &self.pulse);
        }
        loop {
            let event = tokio::select! {
                () = token.cancelled() => return Ok(()),
                event = self.source.try_next() => event,
            };
            match event {
                Ok(Some(event)) => self.take(event).iter().for_each(&mut on_change),
                Ok(None) => anyhow::bail!("the watch of {} ended", K::kind_name()),
                Err(error) => self.report(&error),
            }
        }
    }

    fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Change<K>> {
        if let Event::Apply(guard) | Event::InitApply(guard) = &event
            && let Err(invalid) = &guard.0
        {
            self.metrics.malformed.inc([K::kind_name()]);
            tracing::error!(
                kind = K::kind_name(),
                namespace = guard.meta().namespace,
                name = guard.meta().name,
                error = invalid.error,
                "failed to read object, keeping its last readable form"
            );
        }
        let event = match event {
            Event::InitApply(guard) if !self.is_wanted(&guard) => return Vec::new(),
            // It may have matched before.
            Event::Apply(guard) if !self.is_wanted(&guard) => Event::Delete(guard),
            event => event,
        };
        let strip = self.strip;
        self.writer.apply(event.modify(|guard| {
            guard.meta_mut().managed_fields = None;
            if let Ok(object) = &mut guard.0 {
                strip(object);
            }
        }))
    }

    fn is_wanted(&self, guard: &DeserializeGuard<K>) -> bool {
        match (&self.matches, &guard.0) {
            (Some(matches), Ok(object)) => matches(object),
            (Some(_), Err(_)) => false,
            (None, _) => true,
        }
    }

    fn report(&self, error: &watcher::Error) {
        self.metrics.watch_errors.inc([K::kind_name()]);
        let kind = K::kind_name();
        self.pulse.record_failure(Chain(error).to_string());
        if is_denied(error) {
            tracing::error!(
                kind, error = %Chain(error),
                "failed to list and watch objects: the role of this program must allow it"
            );
        } else {
            tracing::warn!(kind, error = %Chain(error), "failed to watch objects, retrying");
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

#[cfg(test)]
mod tests;
