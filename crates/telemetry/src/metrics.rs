//! Counters, gauges and histograms.
//!
//! Label values are `&'static str`, so that no name, message or id of an object can become a time series. A process may add
//! labels to all of its metrics, such as the name of its model. An [`InfoGauge`] shows texts of its configuration.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::{counter, gauge, histogram};
use prometheus_client::registry::{Metric, Registry};

use crate::process::Process;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// All metrics of the process. Clones share one registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    /// Labels of the metrics that this value registers.
    labels: Vec<(&'static str, String)>,
}

/// Upper bounds of the buckets of a histogram, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(&'static [f64]);

impl Buckets {
    /// From 1 ms to 30 s, for operations of a control plane.
    pub const OPERATIONS: Self = Self(&[
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ]);
    /// From 1 ms to 43 minutes, for completions of a model.
    pub const COMPLETIONS: Self = Self(&[
        0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0,
        160.0, 640.0, 2560.0,
    ]);
}

impl MetricConstructor<histogram::Histogram> for Buckets {
    fn new_metric(&self) -> histogram::Histogram {
        histogram::Histogram::new(self.0.iter().copied())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Creates a registry with the metrics of the process itself.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self::without_process();
        metrics.register_collector(Box::new(Process));
        metrics
    }

    pub(crate) fn register_collector(&self, collector: Box<dyn Collector>) {
        self.lock().register_collector(collector);
    }

    /// Creates an empty registry, for a program that shows the metrics of another process beside its own.
    #[must_use]
    pub fn without_process() -> Self {
        Self {
            registry: Arc::new(Mutex::new(Registry::default())),
            labels: Vec::new(),
        }
    }

    /// Returns a handle of the same registry whose metrics have these labels too. The values must be few for the whole process.
    #[must_use]
    pub fn with_labels(&self, labels: &[(&'static str, &str)]) -> Self {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            registry: Arc::clone(&self.registry),
            labels: self.labels.iter().cloned().chain(labels).collect(),
        }
    }

    fn register(&self, name: &str, help: &str, metric: impl Metric) {
        let mut registry = self.lock();
        let labels = self.labels.iter();
        let labels = labels.map(|(name, value)| (Cow::from(*name), Cow::from(value.clone())));
        registry
            .sub_registry_with_labels(labels)
            .register(name, help, metric);
    }

    /// Registers a counter with these label names. The encoder adds `_total` to its name.
    #[must_use]
    pub fn counter<const N: usize>(&self, name: &str, help: &str, labels: [&'static str; N]) -> Counter<N> {
        let family = Family::<Labels<N>, counter::Counter>::default();
        self.register(name, help, family.clone());
        Counter {
            names: labels,
            family,
        }
    }

    /// Registers a gauge with these label names.
    #[must_use]
    pub fn gauge<const N: usize>(&self, name: &str, help: &str, labels: [&'static str; N]) -> Gauge<N> {
        let family = Family::<Labels<N>, FloatGauge>::default();
        self.register(name, help, family.clone());
        Gauge {
            names: labels,
            family,
        }
    }

    /// Registers a histogram of seconds with these label names, for operations of a control plane.
    #[must_use]
    pub fn histogram<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
    ) -> Histogram<N> {
        self.histogram_with(name, help, labels, Buckets::OPERATIONS)
    }

    /// Registers a histogram of seconds with these label names and buckets.
    #[must_use]
    pub fn histogram_with<const N: usize>(
        &self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        buckets: Buckets,
    ) -> Histogram<N> {
        let family = HistogramFamily::<N>::new_with_constructor(buckets);
        self.register(name, help, family.clone());
        Histogram {
            names: labels,
            family,
        }
    }

    /// Registers a gauge whose labels are texts, of which it shows one set at a time.
    #[must_use]
    pub fn info(&self, name: &str, help: &str) -> InfoGauge {
        let family = Family::<TextLabels, FloatGauge>::default();
        self.register(name, help, family.clone());
        InfoGauge { family }
    }

    /// Shows the version of a program, as every other metric of it lacks.
    pub fn build_info(&self, program: &'static str, version: &'static str) {
        let labels = ["program", "version"];
        self.gauge("kaito_build_info", "The running program, as labels", labels)
            .set([program, version], 1.0);
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

    /// Encodes everything in the Prometheus text format 0.0.4, which scrapers read without asking for OpenMetrics.
    ///
    /// # Errors
    /// A metric cannot be encoded.
    pub fn encode_text(&self) -> anyhow::Result<String> {
        Ok(prometheus_text(&self.encode()?))
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

type TextLabels = Vec<(&'static str, String)>;

/// A gauge that shows texts as labels, such as settings of the program.
#[derive(Clone, Debug)]
pub struct InfoGauge {
    family: Family<TextLabels, FloatGauge>,
}

impl InfoGauge {
    /// Shows these labels with a number, in place of those before.
    pub fn set(&self, labels: &[(&'static str, String)], number: f64) {
        self.family.clear();
        self.family.get_or_create(&labels.to_vec()).set(number);
    }
}

type HistogramFamily<const N: usize> = Family<Labels<N>, histogram::Histogram, Buckets>;

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

/// Rewrites OpenMetrics: a counter is declared with the name of its samples, and there is no end mark.
fn prometheus_text(openmetrics: &str) -> String {
    let lines: Vec<&str> = openmetrics.lines().filter(|line| *line != "# EOF").collect();
    let counter = |line: &str| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned());
    let counters: BTreeSet<String> = lines.iter().filter_map(|line| counter(line)).collect();
    let mut out = String::with_capacity(openmetrics.len());
    for line in lines {
        let described = line.strip_prefix("# ").and_then(|rest| {
            let (keyword, rest) = rest.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            counters.contains(name).then_some((keyword, name, rest))
        });
        // Writing to a string does not fail.
        let _ = match described {
            Some((keyword, name, rest)) => writeln!(out, "# {keyword} {name}_total {rest}"),
            None => writeln!(out, "{line}"),
        };
    }
    out
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

    #[test]
    fn the_older_text_format_declares_counters_as_they_are_named() {
        let metrics = Metrics::without_process();
        let named = metrics.with_labels(&[("model_name", "a/b")]);
        named.counter("calls", "Calls", []).inc([]);
        let info = named.info("config_info", "Settings");
        info.set(&[("block", "16".to_owned())], 1.0);
        info.set(&[("block", "32".to_owned())], 1.0);
        metrics
            .histogram_with("took_seconds", "Time", [], Buckets::COMPLETIONS)
            .observe([], Duration::from_mins(10));
        let text = metrics.encode_text().unwrap();
        for line in [
            "# HELP calls_total Calls.",
            "# TYPE calls_total counter",
            "calls_total{model_name=\"a/b\"} 1",
            "# TYPE config_info gauge",
            "config_info{model_name=\"a/b\",block=\"32\"} 1.0",
            "took_seconds_bucket{le=\"640.0\"} 1",
        ] {
            assert!(
                text.lines().any(|other| other == line),
                "{line} is missing in {text}"
            );
        }
        assert!(!text.contains("EOF") && !text.contains("block=\"16\""), "{text}");
    }
}
