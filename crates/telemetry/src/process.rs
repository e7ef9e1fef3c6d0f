//! Resources of this process, read from `/proc/self` at each scrape. An unreadable number is left out.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Collects the metrics that Prometheus' client libraries call `process_…`.
#[derive(Debug, Default)]
pub(crate) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| Stat::parse(&text));
        if let Some(stat) = stat {
            // The encoder adds `_total` to counters.
            counter(
                &mut encoder,
                "process_cpu_seconds",
                "CPU time used, user and system",
                stat.cpu_seconds(),
            )?;
            gauge(
                &mut encoder,
                "process_resident_memory_bytes",
                "Resident memory",
                stat.resident_bytes(),
            )?;
            gauge(&mut encoder, "process_threads", "Threads", stat.threads)?;
            if let Some(start) = stat.start_seconds() {
                gauge(
                    &mut encoder,
                    "process_start_time_seconds",
                    "Start of the process, Unix time",
                    start,
                )?;
            }
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory being read.
            let open = entries.count().saturating_sub(1);
            #[expect(clippy::cast_precision_loss, reason = "no process has 2^52 files")]
            gauge(
                &mut encoder,
                "process_open_fds",
                "Open file descriptors",
                open as f64,
            )?;
        }
        Ok(())
    }
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> Result<(), std::fmt::Error> {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> Result<(), std::fmt::Error> {
    let metric = ConstGauge::new(value);
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// Numbers of `/proc/self/stat`, in the kernel's units.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    start_ticks: f64,
    resident_pages: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything, also parentheses.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: number(14)? + number(15)?,
            threads: number(20)?,
            start_ticks: number(22)?,
            resident_pages: number(24)?,
        })
    }

    fn cpu_seconds(&self) -> f64 {
        self.cpu_ticks / ticks_per_second()
    }

    #[expect(clippy::cast_precision_loss, reason = "a page is a few kilobytes")]
    fn resident_bytes(&self) -> f64 {
        self.resident_pages * rustix::param::page_size() as f64
    }

    fn start_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?
            .trim()
            .parse()
            .ok()?;
        Some(boot + self.start_ticks / ticks_per_second())
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is 100 nearly everywhere")]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text =
            "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 8 0 777 1000 256 18446744073709551615";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            stat,
            Stat {
                cpu_ticks: 200.0,
                threads: 8.0,
                start_ticks: 777.0,
                resident_pages: 256.0
            }
        );
    }

    #[test]
    fn this_process_can_be_read() {
        let text = crate::Metrics::new().encode().unwrap();
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_start_time_seconds ",
        ] {
            assert!(text.contains(name), "{name} is missing in {text}");
        }
    }
}
