//! The search for remedies. A remedy is reported only if a new estimate confirms it.

use instance_types::InstanceType;

use super::context;
use super::reason::{Reason, Remedy};
use super::report::{Candidate, FitOutcome};
use super::verdict::FitRequest;

/// Returns the remedies for this instance type.
pub(super) fn remedies(
    request: FitRequest<'_>,
    instance_type: &InstanceType,
    context_tokens: u32,
    reasons: &[Reason],
) -> Vec<Remedy> {
    let smaller = context::largest_below(request, instance_type, context_tokens)
        .map(|context_tokens| Remedy::SmallerContext { context_tokens });
    let more = match reasons {
        [Reason::TooManyNodes { needed, .. }] => Some(Remedy::MoreNodes { nodes: *needed }),
        _ => None,
    };
    smaller.into_iter().chain(more).collect()
}

/// Adds the best candidate of the same cloud as a remedy to those that do not fit. The candidates must be ranked.
pub(super) fn add_other_types(candidates: &mut [Candidate]) {
    let fitting: Vec<_> = candidates
        .iter()
        .filter_map(Candidate::fit)
        .map(|(instance_type, fit)| {
            let remedy = Remedy::OtherInstanceType {
                instance_type: instance_type.name.clone(),
                nodes: fit.placement.nodes,
            };
            (instance_type.cloud, remedy)
        })
        .collect();
    for candidate in candidates {
        let cloud = candidate.instance_type.cloud;
        if let FitOutcome::Unfit(unfit) = &mut candidate.outcome {
            let best = fitting.iter().find(|(of, _)| *of == cloud);
            unfit.remedies.extend(best.map(|(_, remedy)| remedy.clone()));
        }
    }
}
