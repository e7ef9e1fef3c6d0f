//! Divisions of a model over several nodes: `plan` leaves them out where one node suffices.

use preset_catalog::fit::{Candidate, FitReport};

use crate::args::PlanArgs;

/// Returns true if a candidate needs several nodes, another one needs only one, and the user did not ask for it.
pub(crate) fn is_hidden(candidate: &Candidate, plan: &FitReport, args: &PlanArgs) -> bool {
    let is_asked_for = args.multi_node || !args.instance_types.is_empty();
    let takes_several = candidate.fit().is_some_and(|(_, fit)| fit.placement.nodes > 1);
    // The first candidate takes one node if any does.
    let one_suffices = plan.best().is_some_and(|(_, fit)| fit.placement.nodes == 1);
    takes_several && one_suffices && !is_asked_for
}

/// Says how many candidates were left out; empty for none.
pub(crate) fn note(hidden: usize) -> String {
    match hidden {
        0 => String::new(),
        1 => "1 instance type would need several nodes: --multi-node lists it.\n".to_owned(),
        _ => format!("{hidden} instance types would need several nodes: --multi-node lists them.\n"),
    }
}
