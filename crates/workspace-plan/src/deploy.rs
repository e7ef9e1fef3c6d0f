//! Carries out a valid Workspace: claims first, then its objects, then its status.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kaito_api::conditions::WorkspaceReason;
use plan::condition::ConditionReason as _;
use plan::{Manifest, Plan};

use crate::build;
use crate::claims;
use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::desired::{Desired, DesiredWorkload};
use crate::exposure;
use crate::ladder;
use crate::launch_report;
use crate::ledger::Grant;
use crate::node_set::NodeSet;
use crate::problem::Problem;
use crate::rollout;
use crate::status::{self, StatusReport};

/// Time that a provisioner has to say something about new claims before the first status is written.
const UNREPORTED: SignedDuration = SignedDuration::from_secs(2);

/// Plans the writes that lead to the desired state. The workload is the last of the manifests.
pub(crate) fn plan(context: &PlanContext<'_>, desired: &Desired<'_>, manifests: Vec<Manifest>) -> Plan {
    let sizing_summary = desired.sizing_summary.as_deref();
    let nodes = NodeSet::of(context, desired.nodes, desired.gpus_per_node);
    let nodes = match moving(context, desired) {
        Some(problem) => nodes.waiting(&problem),
        None => nodes.explained(sizing_summary),
    };
    let resource = nodes.resource();
    let mut rollout = rollout::of(context, desired, manifests);
    let rollout_notes = std::mem::take(&mut rollout.notes);
    let changes_at = rollout.changes_at;
    let mut plan = Plan {
        // Where the finalizer is missing, it is stored before these.
        writes: build::writes(context, desired, rollout, resource.is_true()),
        ..Plan::default()
    };
    plan.add_reason(reason_code(desired, resource.is_true()), &resource.message);
    let notes = desired.update_blocked.iter().chain(&desired.notes).cloned();
    let (resource, refusal_note) = with_refused_grant(context, resource);
    let notes = notes
        .chain(exposure_note(context, desired))
        .chain(rollout_notes)
        .chain(refusal_note);
    let report = StatusReport {
        sizing_summary,
        left_out: &desired.left_out,
        instance_type: if context.creates_nodes() {
            &desired.hardware.instance_type
        } else {
            ""
        },
        ..StatusReport::new(context, resource, Some(nodes))
    }
    .noting(notes);
    status::report(context, &report, &mut plan);
    plan.requeue = plan.requeue.into_iter().chain(until(context, changes_at)).min();
    if context.status().is_none() && context.refusals.is_empty() {
        postpone_status(context, &mut plan);
    }
    plan
}

/// Leaves the first status to a later plan, while it would only say that claims were made a moment ago. The new claims cause
/// the next reconcile. So claims of others come before the status, and that shows at once what became of the claims.
fn postpone_status(context: &PlanContext<'_>, plan: &mut Plan) {
    if !context.has_finalizer() && build::creates_claims(context, &plan.writes) {
        plan.status = None;
    } else if let Some(left) = claims::unreported(context, UNREPORTED) {
        plan.status = None;
        plan.requeue = plan.requeue.into_iter().chain([left]).min();
    }
}

/// Reports a ceiling that keeps the Workspace from its nodes as the cause. It is a note where all nodes are there or another
/// problem comes first.
fn with_refused_grant(
    context: &PlanContext<'_>,
    resource: ConditionUpdate,
) -> (ConditionUpdate, Option<Problem>) {
    let Grant::Refused(refusal) = &context.observed.grant else {
        return (resource, None);
    };
    let problem = refusal.problem();
    if resource.is_true() || resource.is_problem() {
        return (resource, Some(problem));
    }
    (problem.condition(), None)
}

/// Reports that the claims of another instance type are given back before those of the one that is taken are created.
fn moving(context: &PlanContext<'_>, desired: &Desired<'_>) -> Option<Problem> {
    let mut others = ladder::of_other_type(context, desired);
    let other = others.next()?;
    let why = [other].into_iter().chain(others).find_map(launch_report::refusal);
    let why = why.map(|(reason, words)| format!(" ({}: {})", reason.as_str(), words.trim_end_matches('.')));
    let cause = format!(
        "{} cannot be had{}: its claims are given back, and then {} is asked for",
        other.instance_type().unwrap_or_default(),
        why.unwrap_or_default(),
        desired.hardware.instance_type
    );
    Some(Problem::new(WorkspaceReason::InstanceTypeUnavailable, cause))
}

/// Time until then.
fn until(context: &PlanContext<'_>, at: Option<Timestamp>) -> Option<Duration> {
    Duration::try_from(at?.duration_since(context.now)).ok()
}

fn exposure_note(context: &PlanContext<'_>, desired: &Desired<'_>) -> Option<Problem> {
    match desired.workload {
        DesiredWorkload::Template(_) | DesiredWorkload::Inference(_) => exposure::of(context).1,
        DesiredWorkload::Tuning(_) => None,
    }
}

fn reason_code(desired: &Desired<'_>, nodes_ready: bool) -> &'static str {
    match &desired.workload {
        _ if !nodes_ready => "awaiting_nodes",
        DesiredWorkload::Template(_) | DesiredWorkload::Inference(_) => "serving",
        DesiredWorkload::Tuning(_) => "tuning",
    }
}
