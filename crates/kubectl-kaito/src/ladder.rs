//! The instance types that a Workspace names, in its order: what each would take and cost, or why it is left out.

use instance_types::{InstanceType, dollars};
use preset_catalog::fit::{Candidate, Fit, FitOutcome, FitReport, RetiredTypes};
use serde_json::{Value, json};

use crate::output::{printable, table};

/// Verdict about one rung.
enum RungVerdict<'a> {
    /// It fits.
    Fits(&'a Fit),
    /// It is retired, and another type is bought.
    Replaced(&'a InstanceType, &'a InstanceType, &'a Fit),
    /// It cannot be used, for these reasons.
    LeftOut(String),
}

/// Returns the names of the types in their order; the whole text if it is not a ladder.
pub(crate) fn rungs(text: &str) -> Vec<&str> {
    instance_types::ladder::rungs(text).unwrap_or_else(|_| vec![text])
}

/// Judges one rung.
fn verdict<'a>(rung: &str, plan: &'a FitReport, retired: RetiredTypes) -> RungVerdict<'a> {
    let named = |candidate: &&Candidate| candidate.instance_type.name.eq_ignore_ascii_case(rung);
    let Some(candidate) = plan.candidates.iter().find(named) else {
        return RungVerdict::LeftOut("it is not listed".to_owned());
    };
    let asked = &candidate.instance_type;
    let is_replaced = asked.retired.is_some() && retired == RetiredTypes::Replace;
    if let Some((bought, fit)) = plan.replacement(asked).filter(|_| is_replaced) {
        return RungVerdict::Replaced(asked, bought, fit);
    }
    match &candidate.outcome {
        FitOutcome::Fits(fit) => RungVerdict::Fits(fit),
        FitOutcome::Unfit(unfit) => {
            let reasons: Vec<String> = unfit.reasons.iter().map(ToString::to_string).collect();
            RungVerdict::LeftOut(reasons.join("; "))
        }
    }
}

/// Returns the retired types among the rungs, each with the one that is bought instead.
pub(crate) fn replaced<'a>(
    rungs: &[&str],
    plan: &'a FitReport,
    retired: RetiredTypes,
) -> Vec<(&'a InstanceType, &'a InstanceType)> {
    let verdicts = rungs.iter().map(|rung| verdict(rung, plan, retired));
    let pair = |verdict| match verdict {
        RungVerdict::Replaced(asked, bought, _) => Some((asked, bought)),
        RungVerdict::Fits(_) | RungVerdict::LeftOut(_) => None,
    };
    verdicts.filter_map(pair).collect()
}

/// Returns true if one of the rungs or its replacement fits; without a rung, if anything does.
pub(crate) fn is_satisfied(rungs: &[&str], plan: &FitReport, retired: RetiredTypes) -> bool {
    let is_usable = |rung: &&str| !matches!(verdict(rung, plan, retired), RungVerdict::LeftOut(_));
    rungs.is_empty() && plan.fits().next().is_some() || rungs.iter().any(is_usable)
}

/// Describes the rungs as a table in their order; empty for a single one.
pub(crate) fn of(rungs: &[&str], plan: &FitReport, retired: RetiredTypes) -> String {
    if rungs.len() < 2 {
        return String::new();
    }
    let row = |(place, rung): (usize, &&str)| {
        let fit = |fit: &Fit, words: String| {
            let price = fit.usd_micros_per_hour.map_or_else(|| "?".to_owned(), dollars);
            [fit.placement.nodes.to_string(), price, words]
        };
        let cells = match verdict(rung, plan, retired) {
            RungVerdict::Fits(found) => fit(found, "fits".to_owned()),
            RungVerdict::Replaced(_, bought, found) => {
                fit(found, format!("is retired: {} is bought instead", bought.name))
            }
            RungVerdict::LeftOut(why) => [String::new(), String::new(), format!("is left out: {why}")],
        };
        let name = format!("{}. {}", place + 1, printable(rung));
        [name]
            .into_iter()
            .chain(cells.map(|cell| printable(&cell)))
            .collect()
    };
    let rows = rungs.iter().enumerate().map(row);
    let header = ["TRIED IN THIS ORDER", ">NODES", ">$/HOUR", "~VERDICT"];
    format!("\n{}", table(&header, rows))
}

/// The same as JSON; null for a single type.
pub(crate) fn json(rungs: &[&str], plan: &FitReport, retired: RetiredTypes) -> Value {
    if rungs.len() < 2 {
        return Value::Null;
    }
    let rung = |rung: &&str| {
        let fit = |found: &Fit| (json!(found.placement.nodes), json!(found.usd_micros_per_hour));
        let (bought, (nodes, price), why) = match verdict(rung, plan, retired) {
            RungVerdict::Fits(found) => (Value::Null, fit(found), Value::Null),
            RungVerdict::Replaced(_, bought, found) => (json!(bought.name), fit(found), Value::Null),
            RungVerdict::LeftOut(why) => (Value::Null, (Value::Null, Value::Null), json!(why)),
        };
        crate::presets_json::known([
            ("instanceType", json!(rung)),
            ("replacedBy", bought),
            ("nodes", nodes),
            ("usdMicrosPerHour", price),
            ("leftOut", why),
        ])
    };
    rungs.iter().map(rung).collect()
}
