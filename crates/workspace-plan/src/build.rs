//! From the desired state to manifests, and from manifests to writes.

mod claims;
mod inference;
mod names;
mod tuning;
mod workloads;

pub(crate) use claims::{
    creates_any as creates_claims, delete as delete_claim, delete_orphans as delete_orphaned_claims,
};
pub(crate) use names::check_names;

use plan::{Manifest, Write};

use crate::context::PlanContext;
use crate::desired::{Desired, DesiredWorkload};
use crate::ladder;
use crate::rollout::Rollout;

/// Renders the objects of the namespace, in the order in which they are applied: the workload last.
pub(crate) fn manifests(context: &PlanContext<'_>, desired: &Desired<'_>) -> Vec<Manifest> {
    let mut manifests = match &desired.workload {
        DesiredWorkload::Template(template) => inference::of_template(context, template, desired.nodes),
        DesiredWorkload::Inference(inference) => inference::of_preset(context, inference, &desired.hardware),
        DesiredWorkload::Tuning(tuning) => tuning::manifests(context, tuning, &desired.hardware),
    };
    if desired.is_ladder {
        ladder::mark(&mut manifests, &desired.hardware.instance_type);
    }
    manifests
}

/// Plans the writes that lead to the desired state: claims, then the objects of the namespace.
///
/// While claims are created, the other objects wait for the next reconcile, which the new claims cause. Nodes take
/// longest, and the API server assigns the addresses of Services one at a time. So a Service must not delay the claims
/// of other Workspaces.
pub(crate) fn writes(
    context: &PlanContext<'_>,
    desired: &Desired<'_>,
    rollout: Rollout,
    nodes_ready: bool,
) -> Vec<Write> {
    let is_tuning = matches!(desired.workload, DesiredWorkload::Tuning(_));
    // The node of a finished Job is not created again.
    let is_finished = is_tuning && context.job_progress.is_finished();
    let mut writes = Vec::new();
    if context.creates_nodes() && !is_finished {
        writes = claims::writes(context, desired);
    }
    if !claims::creates_any(context, &writes) {
        let may_create = nodes_ready && claims_settled(context, desired);
        writes.extend(workloads::writes(context, desired, rollout, may_create));
    }
    writes
}

fn claims_settled(context: &PlanContext<'_>, desired: &Desired<'_>) -> bool {
    let has_others = ladder::of_other_type(context, desired).next().is_some();
    !context.creates_nodes() || !has_others && crate::claims::are_settled(context, desired.nodes)
}
