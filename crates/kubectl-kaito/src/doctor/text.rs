//! The report for people.

use std::fmt::Write as _;

use instance_types::dollars;

use super::diagnosis::{Diagnosis, DoctorReport};
use crate::output::{age, table, wrapped};
use crate::screen::{Screen, Tone};

/// Width of the lines of a finding elsewhere than on a terminal.
const WRAP: usize = 100;

/// Writes the report.
pub(super) fn of(report: &DoctorReport, before_uninstall: bool, screen: Screen) -> String {
    let mut text = String::new();
    // Writes to a String never fail.
    if let Some(release) = &report.release {
        let version = match release.version.as_str() {
            "" => String::new(),
            version => format!(", version {version} ({})", release.chart),
        };
        let _ = writeln!(text, "Release {}/{}{version}", release.namespace, release.name);
    }
    for check in &report.checks {
        let line = screen.cut(&format!("✓ {}: {}", check.check, check.result));
        let rest: String = line.chars().skip(1).collect();
        let _ = writeln!(text, "{}{rest}", screen.paint(Tone::Good, "✓"));
    }
    if !report.nodes.is_empty() {
        let rows = report.nodes.iter().map(|used| {
            let price = dollars(used.usd_micros_per_hour);
            vec![used.usage.to_owned(), used.count.to_string(), price]
        });
        let _ = write!(text, "\n{}", table(&["NODES", ">COUNT", ">$/HOUR"], rows));
    }
    text.push_str(&findings(report, before_uninstall, screen));
    for note in &report.notes {
        text.push_str(&wrapped(&format!("Note: {note}"), width(screen)));
    }
    text
}

fn width(screen: Screen) -> usize {
    screen
        .size
        .map_or(WRAP, |(columns, _)| usize::from(columns).max(40))
}

fn findings(report: &DoctorReport, before_uninstall: bool, screen: Screen) -> String {
    let count = report.findings.len();
    let total: u64 = report
        .findings
        .iter()
        .filter_map(|found| found.usd_micros_per_hour)
        .sum();
    let mut text = match (before_uninstall, count) {
        (true, 0) => return "\nNothing would leak or stop: the operator can be uninstalled.\n".to_owned(),
        (false, 0) => return "\nNothing is wrong.\n".to_owned(),
        (true, _) => format!(
            "\nDo not uninstall yet: {count} objects need the operator, ${} an hour\n",
            dollars(total)
        ),
        (false, _) => format!("\nFindings: {count}, ${} an hour\n", dollars(total)),
    };
    for found in &report.findings {
        text.push_str(&one(found, screen));
    }
    text
}

fn one(found: &Diagnosis, screen: Screen) -> String {
    let price = found
        .usd_micros_per_hour
        .map(|price| format!(" ${}/h", dollars(price)));
    let since = found.seconds.map(|seconds| format!(" for {}", age(seconds)));
    let head = format!(
        " {}{}{}",
        found.subject,
        price.unwrap_or_default(),
        since.unwrap_or_default()
    );
    let mut text = format!("{}{head}\n", screen.paint(Tone::Bad, "✗"));
    for words in [&found.message, &found.remedy] {
        for line in wrapped(words, width(screen) - 4).lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}
