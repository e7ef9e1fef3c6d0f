//! The shared ground of a program: client, name and metrics.

use kube::Client;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher;
use telemetry::Metrics;

use crate::cache_writer::Watched;
use crate::fence::Fence;
use crate::health::Health;
use crate::metrics::RuntimeMetrics;
use crate::watch::Watch;

/// Client, name and metrics of a program; clones are cheap.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) client: Client,
    pub(crate) program: &'static str,
    pub(crate) metrics: RuntimeMetrics,
    pub(crate) health: Health,
    /// Closed until this replica leads.
    pub(crate) fence: Fence,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Creates the ground of `program`, whose name is also its field manager and the source of its events. Create
    /// only one: it registers its metrics.
    #[must_use]
    pub fn new(client: Client, program: &'static str, metrics: &Metrics, health: Health) -> Self {
        metrics.build_info(program, env!("CARGO_PKG_VERSION"));
        Self {
            client,
            program,
            metrics: RuntimeMetrics::new(metrics),
            health,
            fence: Fence::default(),
        }
    }

    /// Returns a check that this replica may write, so that only one of several reports on objects.
    pub fn writer_check(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let fence = self.fence.clone();
        move || fence.permit().is_some()
    }

    /// Client, for reads that come before the caches.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Prepares a watch over all objects of a kind. `strip` drops fields that no reader uses: that saves memory, and
    /// a change of a dropped field reports no change.
    #[must_use]
    pub fn watch<K: Watched>(&self, config: watcher::Config, strip: fn(&mut K)) -> Watch<K> {
        Watch::new(
            &self.client,
            config,
            strip,
            self.metrics.clone(),
            self.health.clone(),
        )
    }

    /// Prepares a watch of one object by its name, which need not exist.
    #[must_use]
    pub fn watch_one<K>(&self, namespace: &str, name: &str, strip: fn(&mut K)) -> Watch<K>
    where
        K: Watched + kube::Resource<Scope = NamespaceResourceScope>,
    {
        let metrics = self.metrics.clone();
        Watch::of_one(&self.client, (namespace, name), strip, metrics, &self.health)
    }
}
