//! Counters, gauges and histograms.
//!
//! Label values are `&'static str`, so that no name, message or id of an object can become a time series.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{counter, gauge, histogram};
use prometheus_client::registry::Registry;

use crate::process::Process;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics of the process. Clones share one registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

/// Buckets of durations, from 1 ms to 30 s.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates a registry with the metrics of the process itself.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        Self {
            registry: Arc::new(Mutex::new(registry)),
        }
    }

    /// Registers a counter with these label names. The encoder adds `_total` to its name.
    #[must_use]
    pub fn counter<const N: usize>(&self, name: &str, help: &str, labels: [&'static str; N]) -> Counter<N> {
        let family = Family::<Labels<N>, counter::Counter>::default();
        self.lock().register(name, help, family.clone());
        Counter {
            names: labels,
            family,
        }
    }

    /// Registers a gauge with these label names.
    #[must_use]
    pub fn gauge<const N: usize>(&self, name: &str, help: &str, labels: [&'static str; N]) -> Gauge<N> {
        let family = Family::<Labels<N>, FloatGauge>::default();
        self.lock().register(name, help, family.clone());
        Gauge {
            names: labels,
            family,
        }
    }

    /// Registers a histogram of seconds with these label names.
    #[must_use]
    pub fn histogram<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
    ) -> Histogram<N> {
        let family = HistogramFamily::<N>::new_with_constructor(seconds);
        self.lock().register(name, help, family.clone());
        Histogram {
            names: labels,
            family,
        }
    }

    /// Encodes everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// A metric cannot be encoded.
    pub fn encode(&self) -> anyhow::Result<String> {
        let mut out = String::new();
        text::encode(&mut out, &self.lock()).context("failed to encode metrics")?;
        Ok(out)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counter with `N` labels.
#[derive(Clone, Debug)]
pub struct Counter<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, counter::Counter>,
}

impl<const N: usize> Counter<N> {
    /// Adds one to the count with these label values.
    pub fn inc(&self, values: [&'static str; N]) {
        self.family.get_or_create(&pairs(self.names, values)).inc();
    }

    /// Adds `number` to the count with these label values.
    pub fn add(&self, values: [&'static str; N], number: u64) {
        self.family
            .get_or_create(&pairs(self.names, values))
            .inc_by(number);
    }

    /// The count with these label values.
    #[must_use]
    pub fn get(&self, values: [&'static str; N]) -> u64 {
        self.family.get_or_create(&pairs(self.names, values)).get()
    }
}

type FloatGauge = gauge::Gauge<f64, AtomicU64>;

/// A gauge with `N` labels.
#[derive(Clone, Debug)]
pub struct Gauge<const N: usize> {
    names: [&'static str; N],
    family: Family<Labels<N>, FloatGauge>,
}

impl<const N: usize> Gauge<N> {
    /// Sets the number with these label values.
    pub fn set(&self, values: [&'static str; N], number: f64) {
        self.family.get_or_create(&pairs(self.names, values)).set(number);
    }

    /// The number with these label values.
    #[must_use]
    pub fn get(&self, values: [&'static str; N]) -> f64 {
        self.family.get_or_create(&pairs(self.names, values)).get()
    }
}

type HistogramFamily<const N: usize> = Family<Labels<N>, histogram::Histogram, fn() -> histogram::Histogram>;

/// A histogram of durations with `N` labels.
#[derive(Clone, Debug)]
pub struct Histogram<const N: usize> {
    names: [&'static str; N],
    family: HistogramFamily<N>,
}

impl<const N: usize> Histogram<N> {
    /// Records one duration with these label values.
    pub fn observe(&self, values: [&'static str; N], took: Duration) {
        self.family
            .get_or_create(&pairs(self.names, values))
            .observe(took.as_secs_f64());
    }
}

fn seconds() -> histogram::Histogram {
    histogram::Histogram::new(SECONDS)
}

fn pairs<const N: usize>(names: [&'static str; N], values: [&'static str; N]) -> Labels<N> {
    std::array::from_fn(|i| (names[i], values[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_as_they_were_written() {
        let metrics = Metrics::new();
        let calls = metrics.counter("calls", "Calls", ["kind"]);
        calls.inc(["get"]);
        calls.add(["get"], 1);
        metrics.gauge("depth", "Depth", []).set([], 3.0);
        metrics
            .histogram("took_seconds", "Time", ["kind"])
            .observe(["get"], Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        assert!(text.contains("calls_total{kind=\"get\"} 2"), "{text}");
        assert!(text.contains("\ndepth 3.0"), "{text}");
        assert!(
            text.contains("took_seconds_bucket{le=\"0.005\",kind=\"get\"} 1"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }
}
