//! How much of the memory the cache may take: a function of values. Reads nothing.

/// Positions the cache may have.
///
/// `asked` in MiB wins; else it is half of what is `free`, as scores and activations need room too. It never falls below one
/// context, without which no full request could be answered, or rises above what all sequences could use.
pub(crate) fn cache_positions(
    asked: Option<usize>,
    free: Option<u64>,
    bytes_per_position: usize,
    context: usize,
    sequences: usize,
) -> usize {
    let bytes = match (asked, free) {
        (Some(mib), _) => mib.saturating_mul(1 << 20),
        (None, Some(free)) => usize::try_from(free / 2).unwrap_or(usize::MAX),
        (None, None) => 1 << 30,
    };
    let most = context.saturating_mul(sequences);
    (bytes / bytes_per_position.max(1)).clamp(context, most.max(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_has_room_for_a_context_and_not_for_more_than_can_be_used() {
        assert_eq!(cache_positions(Some(1), None, 1024, 100, 64), 1024);
        assert_eq!(cache_positions(None, Some(1 << 20), 1024, 100, 64), 512);
        assert_eq!(cache_positions(None, Some(0), 1024, 100, 64), 100);
        assert_eq!(cache_positions(None, Some(1 << 40), 1024, 100, 64), 6400);
    }
}
