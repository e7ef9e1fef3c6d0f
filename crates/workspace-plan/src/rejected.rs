//! Workspaces for which only the status is written: the spec is rejected, or the current preset is unknown. A running
//! workload stays as it is.

use kaito_api::conditions::WorkspaceReason;
use plan::Plan;

use crate::condition::AnyReason;
use crate::context::PlanContext;
use crate::node_set::NodeSet;
use crate::problem::Problem;
use crate::status::{self, StatusReport};

/// Reports the reason for which the spec is rejected.
pub(crate) fn plan(context: &PlanContext<'_>, problem: &Problem) -> Plan {
    let mut plan = Plan::default();
    plan.add_reason("rejected", problem.note());
    let report = StatusReport::new(context, problem.condition(), NodeSet::of_running(context));
    status::report(context, &report, &mut plan);
    plan
}

/// Reports the state of the running workload, with the problem as a note.
pub(crate) fn keep_running(context: &PlanContext<'_>, problem: Problem) -> Plan {
    let mut plan = Plan::default();
    plan.add_reason("using_last_known_preset", problem.note());
    let nodes = NodeSet::of_running(context);
    let resource = nodes
        .as_ref()
        .map_or_else(|| problem.condition(), NodeSet::resource);
    // An answer that is on its way is nothing to read about.
    let pending = [
        WorkspaceReason::PresetLookupPending,
        WorkspaceReason::ConfigMapPending,
    ];
    let pending = pending.map(AnyReason::Workspace);
    let notes = Some(problem).filter(|problem| !pending.contains(&problem.reason));
    let report = StatusReport::new(context, resource, nodes).noting(notes);
    status::report(context, &report, &mut plan);
    plan
}
