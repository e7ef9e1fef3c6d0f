//! The terms of a plan's memory, as tables.

use instance_types::InstanceType;
use preset_catalog::fit::{Candidate, Fit, FitReport};

use crate::output::{gib, printable, table};

/// Explains the memory of the wanted candidates, otherwise of the best one.
pub(crate) fn of(plan: &FitReport, is_wanted: impl Fn(&Candidate) -> bool) -> String {
    let mut wanted: Vec<_> = plan
        .candidates
        .iter()
        .filter(|candidate| is_wanted(candidate))
        .filter_map(Candidate::fit)
        .collect();
    if wanted.is_empty() {
        wanted.extend(plan.best());
    }
    wanted
        .into_iter()
        .map(|(instance_type, fit)| sum(instance_type, fit))
        .collect()
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
