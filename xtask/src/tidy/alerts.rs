//! Alerts of the chart: each has a heading on the page that its runbook link names, and each such heading has an alert.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};

use super::problem::Problem;
use crate::repository;

const RULES: &str = "charts/kaito/rules/kaito.yaml";
const PAGE: &str = "docs/alerts.md";
/// Start of the name of each alert.
const PREFIX: &str = "Kaito";

pub(super) fn check() -> Result<Vec<Problem>> {
    let read = |path: &str| {
        fs::read_to_string(repository::root().join(path)).with_context(|| format!("failed to read {path}"))
    };
    Ok(differences(&read(RULES)?, &read(PAGE)?))
}

fn differences(rules: &str, page: &str) -> Vec<Problem> {
    let names = |text: &'_ str, start: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(start));
        lines
            .map(str::trim)
            .filter(|name| name.starts_with(PREFIX))
            .map(str::to_owned)
            .collect()
    };
    let (alerts, headings) = (names(rules, "- alert: "), names(page, "## "));
    let missing = alerts
        .difference(&headings)
        .map(|alert| format!("{PAGE}: expected the heading {alert}: an alert links to it"));
    let stale = headings
        .difference(&alerts)
        .map(|heading| format!("{PAGE}: {heading}: no alert has the name"));
    missing.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_alert_has_a_heading() {
        let rules = "- alert: KaitoA\n  expr: a\n- alert: KaitoB\n";
        assert_eq!(
            differences(rules, "## Metrics\n\n## KaitoA\n\n## KaitoB\n"),
            Vec::<Problem>::new()
        );
        assert_eq!(
            differences(rules, "## KaitoA\n## KaitoC\n"),
            [
                "docs/alerts.md: expected the heading KaitoB: an alert links to it",
                "docs/alerts.md: KaitoC: no alert has the name"
            ]
        );
    }
}
