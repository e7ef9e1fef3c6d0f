//! Ranking of candidates: a total order that depends only on the candidates.

use std::cmp::{Ordering, Reverse};

use super::report::{Candidate, Fit};

/// Compares two candidates: fit, price of all nodes (unknown last), number of nodes, headroom, name.
pub(super) fn order(left: &Candidate, right: &Candidate) -> Ordering {
    key(left).cmp(&key(right))
}

fn key(candidate: &Candidate) -> impl Ord {
    let instance_type = &candidate.instance_type;
    let fit = candidate.fit().map(|(_, fit)| fit_key(fit));
    // Names are unique within a cloud, so the order is total.
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
