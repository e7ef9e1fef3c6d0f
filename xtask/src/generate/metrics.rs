//! `docs/metrics.md`: every metric of the programs, from the calls that register them.
//!
//! A call names the metric and its help as literals, and the labels as a list of literals. Gauges that are collected from caches have
//! the labels of their series, which their page describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::generated::Generated;
use crate::repository;

const INTRODUCTION: &str = "\
<!-- Made by `cargo xtask gen` from the calls that register metrics. Do not edit. -->
# Metrics

All metrics of our programs, at `/metrics` of port 8080 (programs of the operator) or of the model's port. [alerts.md](alerts.md) describes
dashboards, alerts and the labels of metrics that repeat statuses. Names of `vllm:` are those of vLLM, so its dashboards fit our engine, too.

Every program also has `process_cpu_seconds_total`, `process_resident_memory_bytes` and `process_start_time_seconds`.
";

/// Crates with metrics, and the programs that have them.
const CRATES: [(&str, &str); 8] = [
    ("operator-runtime", "workspace-controller, gpu-provisioner"),
    ("workspace-controller", "workspace-controller"),
    ("gpu-provisioner", "gpu-provisioner"),
    ("cloudprovider-azure", "gpu-provisioner"),
    ("preset-registry", "preset-registry"),
    ("inference-server", "inference-server"),
    ("tuning-job", "tuning-job"),
    ("telemetry", "all"),
];

/// Programs in the pods of Workspaces.
const OF_PODS: [&str; 2] = ["inference-server", "tuning-job"];

/// Prefixes of the names of our metrics.
const PREFIXES: [&str; 2] = ["kaito_", "vllm:"];

/// Ends of the text before the name, and the type of metric that each registers.
const CALLS: [(&str, &str); 6] = [
    ("counter(", "counter"),
    ("gauge(", "gauge"),
    ("histogram(", "histogram"),
    ("histogram_with(", "histogram"),
    ("info(", "gauge"),
    ("name:", "gauge"),
];

/// End of the text before the name of a group of operations.
const OPERATIONS: &str = "Operations::new(metrics,";

/// One metric.
#[derive(Debug, Default, PartialEq, Eq)]
struct MetricRow {
    kind: &'static str,
    /// Names of labels; `None` if the call does not have them.
    labels: Option<String>,
    help: String,
    programs: BTreeSet<&'static str>,
}

pub(super) fn files() -> Result<Vec<Generated>> {
    let mut rows: BTreeMap<String, MetricRow> = BTreeMap::new();
    for (name, programs) in CRATES {
        for path in repository::rust_files(&repository::root().join("crates").join(name).join("src"))? {
            if path.ends_with("tests.rs") {
                continue;
            }
            let text =
                fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (name, row) in registered(code) {
                let known = rows.entry(name).or_insert(row);
                known.programs.insert(programs);
            }
        }
    }
    ensure!(rows.len() >= 60, "only {} metrics were found", rows.len());
    let mut contents =
        format!("{INTRODUCTION}\n| metric | type | labels | program | meaning |\n|---|---|---|---|---|\n");
    for (name, row) in rows {
        // Programs in the pods of Workspaces register most of their metrics without labels.
        let is_of_operator = row.programs.iter().any(|one| !OF_PODS.contains(one));
        let labels = row.labels.unwrap_or_else(|| match is_of_operator {
            true => "[alerts](alerts.md#metrics-of-workspaces)".to_owned(),
            false => String::new(),
        });
        let programs: Vec<&str> = row.programs.into_iter().collect();
        let help = row.help.trim_end_matches('.').replace('|', "\\|");
        writeln!(
            contents,
            "| `{name}` | {} | {} | {} | {help} |",
            row.kind,
            labels,
            programs.join(", ")
        )?;
    }
    Ok(vec![Generated {
        path: "docs/metrics.md".into(),
        contents,
    }])
}

/// Metrics that a file registers, by the name that Prometheus shows.
fn registered(code: &str) -> Vec<(String, MetricRow)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices('"') {
        let before = code[..at].trim_end();
        if before.ends_with(OPERATIONS) {
            found.extend(operations(&code[at..]));
        }
        let Some((call, kind)) = CALLS.iter().find(|(call, _)| before.ends_with(call)) else {
            continue;
        };
        let Some((name, rest)) = literal(&code[at..]) else {
            continue;
        };
        let rest = rest.trim_start_matches(',').trim_start();
        let Some((help, rest)) = literal(rest.trim_start_matches("help:").trim_start()) else {
            continue;
        };
        let is_ours = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        // The tuning job gives its gauges their prefix in one place.
        let is_tuning = *call == "gauge(" && before.ends_with(": gauge(") && !is_ours;
        if !(is_ours || is_tuning && code.contains("kaito_tuning_")) {
            continue;
        }
        let name = match (is_ours, *kind) {
            (true, "counter") => format!("{name}_total"),
            (true, _) => name.to_owned(),
            (false, _) => format!("kaito_tuning_{name}"),
        };
        let row = MetricRow {
            kind,
            labels: labels(rest),
            help: help.to_owned(),
            ..MetricRow::default()
        };
        found.push((name, row));
    }
    found
}

/// The counter and the histogram of `telemetry::Operations`.
fn operations(text: &str) -> Vec<(String, MetricRow)> {
    let Some((name, rest)) = literal(text) else {
        return Vec::new();
    };
    let help = literal(rest.trim_start_matches(',').trim_start()).map_or("", |(help, _)| help);
    let row = |kind, labels: &str, what: &str| MetricRow {
        kind,
        labels: Some(labels.to_owned()),
        help: format!("{help}{what}"),
        ..MetricRow::default()
    };
    vec![
        (
            format!("{name}_total"),
            row("counter", "`kind`, `outcome`", ", by outcome"),
        ),
        (
            format!("{name}_duration_seconds"),
            row("histogram", "`kind`", ": their duration"),
        ),
    ]
}

/// A literal without escapes at the start of the text, and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?.split_once('"')
}

/// The list of labels after the help, as Markdown.
fn labels(rest: &str) -> Option<String> {
    let list = rest.trim_start_matches(',').trim_start().strip_prefix('[')?;
    let (list, _) = list.split_once(']')?;
    let names = list.split('"').skip(1).step_by(2);
    Some(
        names
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_register_metrics_are_found() {
        let code = r#"
            a: metrics.counter(
                "kaito_writes",
                "Writes, by result.",
                ["verb", "result"],
            ),
            b: metrics.gauge("kaito_depth", "Keys that wait", []),
            CollectedGauge {
                name: "kaito_claims",
                help: "Claims",
                series,
            }
            let other = "kaito_not_a_metric";
        "#;
        let found: Vec<_> = registered(code)
            .into_iter()
            .map(|(name, row)| format!("{name} {} {:?} {}", row.kind, row.labels, row.help))
            .collect();
        assert_eq!(
            found,
            [
                "kaito_writes_total counter Some(\"`verb`, `result`\") Writes, by result.",
                "kaito_depth gauge Some(\"\") Keys that wait",
                "kaito_claims gauge None Claims",
            ]
        );
    }
}
