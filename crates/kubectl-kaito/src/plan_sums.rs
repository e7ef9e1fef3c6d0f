//! The terms of a plan's memory, and its estimates, as tables.

use instance_types::InstanceType;
use preset_catalog::fit::{Candidate, Fit, FitReport};
use preset_catalog::forecast::Forecast;

use crate::estimates;
use crate::output::{gib, printable, table};

/// Explains the memory and the estimates of the wanted candidates, otherwise of the best one.
pub(crate) fn of(
    plan: &FitReport,
    forecasts: &[Option<Forecast>],
    is_wanted: impl Fn(&Candidate) -> bool,
) -> String {
    let fitting = || {
        let candidates = plan.candidates.iter().zip(forecasts);
        candidates.filter(|(candidate, _)| candidate.fit().is_some())
    };
    let mut wanted: Vec<_> = fitting().filter(|(candidate, _)| is_wanted(candidate)).collect();
    if wanted.is_empty() {
        wanted.extend(fitting().next());
    }
    let text = |(candidate, forecast): (&Candidate, &Option<Forecast>)| {
        let (instance_type, fit) = candidate.fit()?;
        let estimated = forecast
            .as_ref()
            .map(|forecast| estimates::explained(&instance_type.name, forecast));
        Some(sum(instance_type, fit) + &estimated.unwrap_or_default())
    };
    wanted.into_iter().filter_map(text).collect()
}

fn sum(instance_type: &InstanceType, fit: &Fit) -> String {
    let where_ = if fit.gpus > 0 {
        "the fullest GPU"
    } else {
        "the memory of the node"
    };
    let name = &instance_type.name;
    if fit.explanation.is_empty() {
        return format!("\n{name}: sizing was not needed.\n");
    }
    let row = |name: &str, bytes: u64, formula: &str| vec![name.to_owned(), gib(bytes), printable(formula)];
    let total = fit.explanation.iter().map(|term| term.bytes).sum();
    let terms = fit.explanation.iter().map(|term| {
        let source = if term.source.is_empty() {
            String::new()
        } else {
            format!(" [{}]", term.source)
        };
        row(
            term.kind.as_str(),
            term.bytes,
            &format!("{}{source}", term.formula),
        )
    });
    let rows = terms.chain([row("together", total, "")]);
    format!(
        "\n{name}: what fills {where_}\n{}",
        table(&["TERM", ">GiB", "~HOW [SOURCE]"], rows)
    )
}
