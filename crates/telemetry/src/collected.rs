//! Gauges whose values are read when they are scraped, with labels that name objects.
//!
//! The number of time series is that of the objects. So values come from a store that holds the objects anyway, and a series
//! ends with its object.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::Metrics;

/// A gauge with its present values.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectedGauge {
    /// Name of the metric.
    pub name: &'static str,
    /// Description of the metric.
    pub help: &'static str,
    /// Labels and value of each series. The labels of two series must differ.
    pub series: Vec<(Vec<(&'static str, String)>, f64)>,
}

struct CollectedGauges<F>(F);

impl<F> fmt::Debug for CollectedGauges<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CollectedGauges").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers gauges that `read` returns at each scrape. It must not wait.
    pub fn collect(&self, read: impl Fn() -> Vec<CollectedGauge> + Send + Sync + 'static) {
        self.register_collector(Box::new(CollectedGauges(read)));
    }
}

impl<F: Fn() -> Vec<CollectedGauge> + Send + Sync + 'static> Collector for CollectedGauges<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for gauge in (self.0)() {
            if gauge.series.is_empty() {
                continue;
            }
            let mut family = encoder.encode_descriptor(gauge.name, gauge.help, None, MetricType::Gauge)?;
            for (labels, value) in &gauge.series {
                ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_at_each_scrape() {
        let metrics = Metrics::without_process();
        let count = std::sync::atomic::AtomicU32::new(0);
        metrics.collect(move || {
            let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let series = |name: &str| (vec![("name", name.to_owned())], f64::from(count));
            vec![
                CollectedGauge {
                    name: "objects",
                    help: "Objects",
                    series: vec![series("a\"b"), series("c")],
                },
                CollectedGauge {
                    name: "nothing",
                    help: "Nothing",
                    series: Vec::new(),
                },
            ]
        });
        let first = metrics.encode().unwrap();
        assert!(
            first.contains("objects{name=\"a\\\"b\"} 0.0\nobjects{name=\"c\"} 0.0\n"),
            "{first}"
        );
        assert!(!first.contains("nothing"), "{first}");
        assert!(metrics.encode().unwrap().contains("objects{name=\"c\"} 1.0\n"));
    }
}
