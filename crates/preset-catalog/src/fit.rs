//! Comparison of instance types for a preset: layout, price and reasons, before a user pays.
//!
//! Pure: preset and instance types in, a ranked [`FitReport`] out. It never counts nodes itself. Every count comes from
//! [`estimate::place`](crate::estimate::place), which the controller uses too, so the two cannot disagree. It knows no
//! wire format.

mod context;
mod explain;
mod rank;
mod reason;
mod remedies;
mod replacement;
mod report;
mod term;
mod verdict;

use instance_types::InstanceType;

use crate::preset::Preset;

pub use reason::{Reason, Remedy};
pub use replacement::{RetiredTypes, is_affordable, like_for_like};
pub use report::{Candidate, Fit, FitOptions, FitOutcome, FitReport, Purpose, Unfit};
pub use term::{Term, TermKind};

use verdict::FitRequest;

/// Compares instance types for one replica of a preset, or for one tuning job.
///
/// `context_tokens` is the length of prompt and completion together that must fit; tuning ignores it. The order of
/// `instance_types` does not matter.
#[must_use]
pub fn compare_instance_types(
    preset: &Preset,
    instance_types: &[&InstanceType],
    context_tokens: u32,
    options: &FitOptions,
) -> FitReport {
    let request = FitRequest { preset, options };
    let mut candidates: Vec<Candidate> = instance_types
        .iter()
        .map(|instance_type| candidate(request, instance_type, context_tokens))
        .collect();
    candidates.sort_by(|left, right| rank::order(preset, left, right));
    remedies::add_other_types(&mut candidates);
    FitReport {
        preset: preset.name.clone(),
        purpose: options.purpose,
        context_tokens,
        candidates,
    }
}

fn candidate(request: FitRequest<'_>, instance_type: &InstanceType, context_tokens: u32) -> Candidate {
    let outcome = match request.verdict(instance_type, context_tokens) {
        Ok(placement) => FitOutcome::Fits(Box::new(fit(request, instance_type, context_tokens, placement))),
        Err(reasons) => FitOutcome::Unfit(Unfit {
            remedies: remedies::remedies(request, instance_type, context_tokens, &reasons),
            reasons,
        }),
    };
    Candidate {
        instance_type: instance_type.clone(),
        outcome,
    }
}

fn fit(
    request: FitRequest<'_>,
    instance_type: &InstanceType,
    context_tokens: u32,
    placement: crate::estimate::Placement,
) -> Fit {
    let explanation = explain::terms(request, instance_type, context_tokens, &placement);
    let of_kind = |kind| explanation.iter().find(|term: &&Term| term.kind == kind);
    let price = instance_type.list_price.as_ref();
    Fit {
        gpus: placement.nodes.saturating_mul(placement.gpus_per_node),
        max_context_tokens: context::largest(request, instance_type, context_tokens, placement.nodes),
        usd_micros_per_hour: price.map(|price| {
            price
                .usd_micros_per_hour
                .saturating_mul(u64::from(placement.nodes))
        }),
        headroom_bytes: of_kind(TermKind::Headroom).map(|term| term.bytes),
        placement,
        explanation,
    }
}

#[cfg(test)]
mod tests;
