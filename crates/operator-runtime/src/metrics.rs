//! Metrics of the runtime.

use telemetry::{Counter, Gauge, Metrics, Operations};

/// Counters and gauges, registered once in a program.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeMetrics {
    pub(crate) reconciles: Operations,
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
            reconciles: Operations::new(metrics, "kaito_reconcile", "Reconciles that ended"),
            errors: metrics.counter(
                "kaito_reconcile_errors",
                "Reconciles that failed, by class of the error",
                ["kind", "class"],
            ),
            depth: metrics.gauge(
                "kaito_queue_depth",
                "Objects that are due and wait for a worker",
                ["kind"],
            ),
            postponed: metrics.counter(
                "kaito_reconcile_postponed",
                "Reconciles postponed because a cache lags behind our own writes",
                ["kind"],
            ),
            writes: metrics.counter(
                "kaito_api_writes",
                "Writes to the API server, by result",
                ["kind", "verb", "result"],
            ),
            watch_errors: metrics.counter("kaito_watch_errors", "Lists and watches that failed", ["kind"]),
            malformed: metrics.counter(
                "kaito_malformed_objects",
                "Events about objects that do not match their type",
                ["kind"],
            ),
        }
    }
}
