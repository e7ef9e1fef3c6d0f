//! The number of nodes that the running workload was made for.
//!
//! The Workspace's claims record it: they are cluster-scoped, so users cannot write them. The workload's annotation and
//! replicas are in the hands of users. They never raise the number above what the spec needs and the claims hold.

use kaito_api::{Claim, labels};

use crate::claims;
use crate::context::PlanContext;
use crate::metadata::{is_live, label};
use crate::settings::NodeLimit;
use crate::workload::Workload;

/// Number of nodes of the running workload, where the spec needs `planned` now. `None` if nothing runs or no claim exists.
pub(crate) fn running(context: &PlanContext<'_>, planned: u32) -> Option<u32> {
    let workload = context.workload?;
    let nodes = if context.creates_nodes() {
        recorded(context).or_else(|| unrecorded(context, workload, planned))?
    } else {
        on_own_nodes(workload, planned)
    };
    Some(nodes.clamp(1, NodeLimit::MAX))
}

/// Number of nodes for a status that decides nothing. `None` if nothing runs.
pub(crate) fn reported(context: &PlanContext<'_>) -> Option<u32> {
    let workload = context.workload?;
    running(context, 0).or_else(|| Some(workload.nodes().min(NodeLimit::MAX)))
}

/// The number that the claims record.
///
/// The first live claim decides. Each claim that is needed has the same record before a workload is created. A
/// terminating one may be left from a larger size.
fn recorded(context: &PlanContext<'_>) -> Option<u32> {
    let recorded = claims::own(context).filter_map(|claim| Some((claim, claims::recorded_nodes(claim)?)));
    let first = recorded.min_by_key(|(claim, _)| (!is_live(claim.metadata()), ordinal(claim)));
    first.map(|(_, nodes)| nodes)
}

fn ordinal(claim: &Claim) -> u32 {
    let ordinal = label(claim.metadata(), labels::ORDINAL).and_then(|ordinal| ordinal.parse().ok());
    ordinal.unwrap_or(u32::MAX)
}

/// The number where upstream's controller created the claims: the workload's, but no more than planned or claimed.
fn unrecorded(context: &PlanContext<'_>, workload: Workload<'_>, planned: u32) -> Option<u32> {
    let live = claims::own(context).filter(|claim| is_live(claim.metadata()));
    let claimed = u32::try_from(live.count()).unwrap_or(u32::MAX);
    (claimed > 0).then(|| workload.nodes().clamp(claimed, claimed.max(planned)))
}

/// The number on the user's own nodes, where nothing is bought. A number that replicas or annotation alone disagree with
/// has drifted.
fn on_own_nodes(workload: Workload<'_>, planned: u32) -> u32 {
    if workload.replicas() == planned {
        planned
    } else {
        workload.nodes()
    }
}
