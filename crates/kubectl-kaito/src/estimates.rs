//! Estimates of a plan: a table, the formulas behind it, and JSON.

use preset_catalog::forecast::{Estimate, Forecast};
use serde_json::{Value, json};

use crate::output::{printable, table};
use crate::presets_json::known;

/// Explains the columns.
pub(crate) const LEGEND: &str = "TOK/S: most tokens a second of one stream. SEQS: sequences of that length at once. READY: time to the \
first answer. These are estimates, and --explain shows how they are made. ";

/// Lists the estimates of instance types by their names; empty for a tuning, which has none.
pub(crate) fn rows<'a>(of: impl Iterator<Item = (String, &'a Forecast)>) -> String {
    let value = |estimate: &Option<Estimate>| {
        let estimate = estimate.as_ref();
        estimate.map_or_else(|| "?".to_owned(), |estimate| estimate.value.to_string())
    };
    let row = |(name, forecast): (String, &Forecast)| {
        let ready = minutes(forecast.seconds_to_ready());
        vec![
            name,
            value(&forecast.tokens_per_second),
            value(&forecast.sequences),
            ready,
        ]
    };
    let rows: Vec<_> = of.map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&[" ESTIMATE", ">TOK/S", ">SEQS", ">READY"], rows))
}

/// Formats seconds as whole minutes, rounded up: an estimate is not exact to the second.
fn minutes(seconds: u64) -> String {
    match seconds.div_ceil(60) {
        minutes @ ..120 => format!("{minutes}m"),
        minutes => format!("{}h{}m", minutes / 60, minutes % 60),
    }
}

/// Lists each estimate of one instance type with its formula and source.
pub(crate) fn explained(name: &str, forecast: &Forecast) -> String {
    let row = |what: &str, value: String, estimate: &Estimate| {
        let how = format!("{} [{}]", estimate.formula, estimate.source);
        vec![what.to_owned(), value, printable(&how)]
    };
    let numbers = [
        ("tokens a second", &forecast.tokens_per_second),
        ("sequences", &forecast.sequences),
    ];
    let numbers = numbers.into_iter().filter_map(|(what, estimate)| {
        let estimate = estimate.as_ref()?;
        Some(row(what, estimate.value.to_string(), estimate))
    });
    let stages = forecast.stages.iter().map(|(stage, estimate)| {
        let what = format!("{}, seconds", stage.as_str());
        row(&what, estimate.value.to_string(), estimate)
    });
    let rows: Vec<_> = numbers.chain(stages).collect();
    format!(
        "\n{}: estimates\n{}",
        printable(name),
        table(&["ESTIMATE", ">VALUE", "~HOW [SOURCE]"], rows)
    )
}

/// Converts the estimates.
pub(crate) fn json(forecast: &Forecast) -> Value {
    let estimate = |estimate: &Estimate| json!({"value": estimate.value, "formula": estimate.formula, "source": estimate.source});
    let stage = |(stage, found): &(_, Estimate)| {
        let stage: &preset_catalog::forecast::Stage = stage;
        json!({
            "stage": stage.as_str(), "seconds": found.value, "formula": found.formula, "source": found.source,
        })
    };
    known([
        (
            "tokensPerSecond",
            json!(forecast.tokens_per_second.as_ref().map(estimate)),
        ),
        ("sequences", json!(forecast.sequences.as_ref().map(estimate))),
        ("secondsToReady", json!(forecast.seconds_to_ready())),
        ("stages", forecast.stages.iter().map(stage).collect()),
    ])
}
