//! Search for the longest context that fits.

use instance_types::InstanceType;

use super::verdict::FitRequest;

/// Longest context that fits `nodes` nodes; `from` must fit. `None` for tuning.
pub(super) fn largest(
    request: FitRequest<'_>,
    instance_type: &InstanceType,
    from: u32,
    nodes: u32,
) -> Option<u32> {
    let limit = request.preset.shape.max_context_tokens;
    let fits = |tokens| {
        let verdict = request.verdict(instance_type, tokens);
        verdict.is_ok_and(|placement| placement.nodes <= nodes)
    };
    request.is_inference().then(|| last(from, limit, fits))
}

/// Longest context below `wanted`, which must not fit; `None` if not even one token fits.
pub(super) fn largest_below(
    request: FitRequest<'_>,
    instance_type: &InstanceType,
    wanted: u32,
) -> Option<u32> {
    let fits = |tokens| request.verdict(instance_type, tokens).is_ok();
    (request.is_inference() && wanted > 1 && fits(1)).then(|| last(1, wanted - 1, fits))
}

/// Binary search: the last number in `first..=limit` for which a monotone property holds. It must hold for `first`.
fn last(first: u32, limit: u32, holds: impl Fn(u32) -> bool) -> u32 {
    if first >= limit || holds(limit) {
        return first.max(limit);
    }
    let (mut good, mut bad) = (first, limit);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::last;

    #[test]
    fn the_last_that_holds() {
        for edge in 1..40 {
            for limit in 1..40 {
                assert_eq!(last(1, limit, |number| number <= edge), edge.min(limit));
            }
        }
        assert_eq!(last(0, u32::MAX, |number| number <= 7), 7);
    }
}
