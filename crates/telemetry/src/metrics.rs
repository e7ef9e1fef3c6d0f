//! Counters, gauges and histograms with label values from the program's text.
//!
//! Label values are `&'static str`, so that no object's name, message or id can become a time series.

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

/// All metrics of the process; clones share one registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

/// How long most things a controller does take: 1 ms to 30 s.
pub const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry that holds the metrics of the process itself.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        Self {
            registry: Arc::new(Mutex::new(registry)),
        }
    }

    /// A counter with these label names. Its name is given without `_total`, which is added when it is read.
    #[must_use]
    pub fn counter<const N: usize>(&self, name: &str, help: &str, labels: [&'static str; N]) -> Counter<N> {
        let family = Family::<Labels<N>, counter::Counter>::default();
        self.lock().register(name, help, family.clone());
        Counter {
            names: labels,
            family,
        }
    }

    /// A gauge with these label names.
    #[must_use]
    pub fn gauge<const N: usize>(&self, name: &str, help: &str, labels: [&'static str; N]) -> Gauge<N> {
        let family = Family::<Labels<N>, FloatGauge>::default();
        self.lock().register(name, help, family.clone());
        Gauge {
            names: labels,
            family,
        }
    }

    /// A histogram of seconds with these label names and the buckets [`SECONDS`].
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

    /// Everything, in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn encode(&self) -> anyhow::Result<String> {
        let mut out = String::new();
        text::encode(&mut out, &self.lock()).context("metrics cannot be written")?;
        Ok(out)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts, told apart by `N` labels.
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

/// A number that goes up and down, told apart by `N` labels.
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

/// How long things took, told apart by `N` labels.
#[derive(Clone, Debug)]
pub struct Histogram<const N: usize> {
    names: [&'static str; N],
    family: HistogramFamily<N>,
}

impl<const N: usize> Histogram<N> {
    /// Notes one duration with these label values.
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
