//! Ranking of candidates: a total order that depends only on the candidates.

use std::cmp::{Ordering, Reverse};

use crate::preset::{Preset, Runtime};

use super::report::{Candidate, Fit};

/// Compares two candidates for a preset: fit, one node before several, GPUs before processors, price of all nodes (unknown last),
/// number of nodes, headroom, name. GPUs do not matter for a preset that prefers processors.
///
/// Between nodes, a network carries what NVLink or the bus of one node carries otherwise, and each node can fail. A node without a
/// GPU costs less than one with a GPU, but is many times slower than the price says.
pub(super) fn order(preset: &Preset, left: &Candidate, right: &Candidate) -> Ordering {
    let prefers_gpus = prefers_gpus(preset);
    key(prefers_gpus, left).cmp(&key(prefers_gpus, right))
}

fn prefers_gpus(preset: &Preset) -> bool {
    let first = preset
        .inference
        .as_ref()
        .and_then(|profile| profile.runtimes.first());
    first != Some(&Runtime::Native)
}

fn key(prefers_gpus: bool, candidate: &Candidate) -> impl Ord {
    let instance_type = &candidate.instance_type;
    let fit = candidate.fit().map(|(_, fit)| fit_key(prefers_gpus, fit));
    // Names are unique within a cloud, so the order is total.
    (
        fit.is_none(),
        fit,
        instance_type.name.to_lowercase(),
        instance_type.cloud,
    )
}

fn fit_key(prefers_gpus: bool, fit: &Fit) -> impl Ord + use<> {
    let price = fit.usd_micros_per_hour;
    (
        fit.placement.nodes > 1,
        prefers_gpus && fit.gpus == 0,
        price.is_none(),
        price,
        fit.placement.nodes,
        Reverse(fit.headroom_bytes),
    )
}
