//! Ranking of candidates: a total order that depends only on the candidates.

use std::cmp::{Ordering, Reverse};

use super::report::{Candidate, Fit};

/// Compares two candidates: fit, one node before several, price of all nodes (unknown last), number of nodes, headroom, name.
///
/// Between nodes, a network carries what NVLink or the bus of one node carries otherwise, and each node can fail.
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
        fit.placement.nodes > 1,
        price.is_none(),
        price,
        fit.placement.nodes,
        Reverse(fit.headroom_bytes),
    )
}
