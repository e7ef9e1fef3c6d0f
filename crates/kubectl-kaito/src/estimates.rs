//! Estimates of a plan: columns of its table, a table of their formulas, and JSON.

use preset_catalog::forecast::{Estimate, Forecast};
use serde_json::{Value, json};

use crate::output::{printable, table};
use crate::presets_json::known;

/// Titles of the columns.
pub(crate) const HEADER: [&str; 3] = [">TOK/S", ">SEQS", ">READY"];

/// Explains the columns.
pub(crate) const LEGEND: &str = "Estimates: TOK/S is the most that one stream can get, SEQS how many sequences of that length fit at once, \
READY the time to the first answer; --explain shows how. ";

/// Values of the columns; blank for a tuning, and where nothing is known.
pub(crate) fn cells(forecast: Option<&Forecast>) -> [String; 3] {
    let Some(forecast) = forecast else {
        return Default::default();
    };
    let value = |estimate: &Option<Estimate>| {
        let estimate = estimate.as_ref();
        estimate.map_or_else(|| "?".to_owned(), |estimate| estimate.value.to_string())
    };
    [
        value(&forecast.tokens_per_second),
        value(&forecast.sequences),
        minutes(forecast.seconds_to_ready()),
    ]
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
    let estimate = |estimate: &Estimate| {
        json!({"value": estimate.value, "formula": estimate.formula, "source": estimate.source})
    };
    let stage = |(stage, found): &(_, Estimate)| {
        let stage: &preset_catalog::forecast::Stage = stage;
        json!({
            "stage": stage.as_str(), "seconds": found.value, "formula": found.formula, "source": found.source,
        })
    };
    known([
        ("tokensPerSecond", json!(forecast.tokens_per_second.as_ref().map(estimate))),
        ("sequences", json!(forecast.sequences.as_ref().map(estimate))),
        ("secondsToReady", json!(forecast.seconds_to_ready())),
        ("stages", forecast.stages.iter().map(stage).collect()),
    ])
}
