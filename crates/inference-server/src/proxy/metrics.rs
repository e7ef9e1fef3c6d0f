//! The metrics of the proxy.

use axum::http::StatusCode;
use telemetry::{Counter, Gauge};

/// The metrics of the proxy. The engine has those of its process.
#[derive(Clone, Debug)]
pub(crate) struct ProxyMetrics {
    registry: telemetry::Metrics,
    answered: Counter<1>,
    rejected: Counter<0>,
    unreachable: Counter<0>,
    in_flight: Gauge<0>,
}

impl ProxyMetrics {
    pub(super) fn new() -> Self {
        let registry = telemetry::Metrics::without_process();
        let metrics = Self {
            answered: registry.counter(
                "kaito_front_requests",
                "Requests that were answered, by class of status",
                ["status"],
            ),
            rejected: registry.counter(
                "kaito_ratelimit_rejected",
                "Requests that were refused because too many were in flight",
                [],
            ),
            unreachable: registry.counter(
                "kaito_front_engine_unreachable",
                "Requests that the engine did not answer",
                [],
            ),
            in_flight: registry.gauge(
                "kaito_front_requests_in_flight",
                "Requests that are not answered completely",
                [],
            ),
            registry,
        };
        for class in ["2xx", "3xx", "4xx", "5xx"] {
            metrics.answered.add([class], 0);
        }
        metrics.rejected.add([], 0);
        metrics.unreachable.add([], 0);
        metrics
    }

    pub(super) fn answered(&self, status: StatusCode) {
        let class = match status.as_u16() {
            0..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.answered.inc([class]);
    }

    pub(super) fn in_flight(&self, requests: usize) {
        self.in_flight.set([], requests as f64);
    }

    /// Encodes the metrics in the Prometheus text format.
    pub(super) fn encode(&self) -> anyhow::Result<String> {
        self.registry.encode_text()
    }

    pub(super) fn rejected(&self) {
        self.rejected.inc([]);
    }

    pub(super) fn unreachable(&self) {
        self.unreachable.inc([]);
    }
}
