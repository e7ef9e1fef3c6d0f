//! What every part of the runtime needs: the client, the program's name and the metrics. Does nothing itself.

use kube::Client;
use kube::runtime::watcher;
use telemetry::{Counter, Gauge, Metrics, Steps};

use crate::cache::Watched;
use crate::stores::{self, Watch};

/// The shared ground of a program; clones are cheap.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) client: Client,
    pub(crate) program: &'static str,
    pub(crate) metrics: RuntimeMetrics,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// The ground of `program`, which is also its field manager and the source of its events. Make one only:
    /// its metrics are registered here.
    #[must_use]
    pub fn new(client: Client, program: &'static str, metrics: &Metrics) -> Self {
        Self {
            client,
            program,
            metrics: RuntimeMetrics::new(metrics),
        }
    }

    /// The client, for what must be read before stores exist.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Prepares a watch over all objects of a kind; see [`Watch`]. `trim` drops what nobody reads: that saves
    /// memory, and a change of what was dropped triggers nothing.
    #[must_use]
    pub fn watch<K: Watched>(&self, config: watcher::Config, trim: fn(&mut K)) -> Watch<K> {
        stores::watch(&self.client, config, trim, self.metrics.clone())
    }
}

/// What the runtime counts.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeMetrics {
    pub(crate) reconciles: Steps,
    pub(crate) errors: Counter<2>,
    pub(crate) depth: Gauge<1>,
    pub(crate) postponed: Counter<1>,
    pub(crate) writes: Counter<3>,
    pub(crate) watch_errors: Counter<1>,
    pub(crate) malformed: Counter<1>,
}

impl RuntimeMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            reconciles: Steps::new(metrics, "reconcile", "Reconciles"),
            errors: metrics.counter("reconcile_errors", "Failed reconciles", ["kind", "class"]),
            depth: metrics.gauge(
                "queue_depth",
                "Objects that are due and wait for a worker",
                ["kind"],
            ),
            postponed: metrics.counter(
                "reconcile_postponed",
                "Reconciles put off by a lagging store",
                ["kind"],
            ),
            writes: metrics.counter(
                "api_writes",
                "Writes to the API server",
                ["kind", "verb", "result"],
            ),
            watch_errors: metrics.counter("watch_errors", "Failed lists and watches", ["kind"]),
            malformed: metrics.counter(
                "malformed_objects",
                "Events about objects that cannot be read",
                ["kind"],
            ),
        }
    }
}
