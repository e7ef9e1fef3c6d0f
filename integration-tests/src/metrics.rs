//! Names of metrics: those that dashboards and alerts of the chart ask for, and those of a scrape.

use std::collections::BTreeSet;
use std::path::Path;

/// Beginnings of the names of our metrics.
const PREFIXES: [&str; 3] = ["kaito_", "vllm:", "process_"];

/// Labels whose names look like those of metrics.
const LABELS: [&str; 1] = ["kaito_sh_workspace"];

/// The metrics that dashboards and alerts of the chart name.
#[must_use]
pub fn charted_metrics() -> BTreeSet<String> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/kaito");
    let mut names = BTreeSet::new();
    for folder in ["dashboards", "rules"] {
        for entry in std::fs::read_dir(chart.join(folder)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
            let words = text.split(|letter| !is_part(letter));
            let named = words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
            names.extend(named.map(str::to_owned));
        }
    }
    names.retain(|name| !LABELS.contains(&name.as_str()));
    names
}

/// The series of a scrape, without labels.
#[must_use]
pub fn exported_metrics(scrape: &str) -> BTreeSet<String> {
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split([' ', '{']).next())
        .map(str::to_owned)
        .collect()
}
