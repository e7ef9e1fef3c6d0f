//! Workspaces for which nothing is written but their status: the spec cannot be carried out, or what it needs cannot
//! be told just now. What runs is left alone.

use plan::Plan;

use crate::finding::{ConditionUpdate, Problem};
use crate::nodes::Fleet;
use crate::status::{self, Report};
use crate::subject::Subject;
use crate::workloads;

/// Says why the Workspace is not carried out.
pub(crate) fn refused(subject: &Subject<'_>, problem: &Problem) -> Plan {
    let mut plan = Plan::default();
    plan.add_reason("refused", problem.note());
    let report = report(subject, problem.finding(), running(subject));
    status::conclude(subject, &report, &mut plan);
    plan
}

/// Says what cannot be told just now, beside what runs.
pub(crate) fn kept(subject: &Subject<'_>, problem: Problem) -> Plan {
    let mut plan = Plan::default();
    plan.add_reason("kept", problem.note());
    let fleet = running(subject);
    let resource = fleet.as_ref().map_or_else(|| problem.finding(), Fleet::resource);
    let report = Report {
        notes: vec![problem],
        ..report(subject, resource, fleet)
    };
    status::conclude(subject, &report, &mut plan);
    plan
}

fn report<'a>(subject: &Subject<'a>, resource: ConditionUpdate, fleet: Option<Fleet<'a>>) -> Report<'a> {
    if subject.workspace().spec.tuning.is_some() {
        Report::of_tuning(subject, resource, fleet)
    } else {
        Report::of_inference(subject, resource, fleet)
    }
}

// GPUs are not asked after: what runs has got them.
fn running<'a>(subject: &Subject<'a>) -> Option<Fleet<'a>> {
    workloads::current(subject).map(|workload| Fleet::of(subject, workload.nodes(), 0))
}
