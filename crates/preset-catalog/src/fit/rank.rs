//! The order of candidates: a total order that depends on nothing but the candidates.

use std::cmp::{Ordering, Reverse};

use super::{Candidate, Fit};

/// Those that fit first; then by price of all nodes, where known before unknown; fewer nodes; more headroom; name.
pub(super) fn order(left: &Candidate, right: &Candidate) -> Ordering {
    key(left).cmp(&key(right))
}

fn key(candidate: &Candidate) -> impl Ord {
    let instance_type = &candidate.instance_type;
    let fit = candidate.fit().map(|(_, fit)| fit_key(fit));
    // The name decides between clouds too: no two types of one cloud have the same.
    (
        fit.is_none(),
        fit,
        instance_type.name.to_lowercase(),
        instance_type.cloud,
    )
}

fn fit_key(fit: &Fit) -> impl Ord + use<> {
    let price = fit.usd_micros_per_hour;
    (
        price.is_none(),
        price,
        fit.placement.nodes,
        Reverse(fit.headroom_bytes),
    )
}
