//! Memory for weights and for the cache.

use anyhow::ensure;
use model::{Precision, Spec};

/// Refuses weights that do not fit the free memory, before they are read: the kernel would kill the process without a message.
pub(super) fn check_weights(spec: &Spec, stored_bytes: u64, precision: Precision) -> anyhow::Result<()> {
    let needed = precision.weight_bytes(spec, stored_bytes);
    if let Some(free) = telemetry::host::available() {
        ensure!(
            needed <= free,
            "the weights need {} MB and {} MB are free: raise the memory limit, or use --dtype q8 or q4",
            needed / 1_000_000,
            free / 1_000_000
        );
    }
    Ok(())
}

/// Positions without which a server is of no use.
const MIN_POSITIONS: usize = 256;

/// Returns the number of positions in the cache. Pure.
///
/// `requested_mib` wins. Otherwise the cache gets half of the `free` bytes, because scores and activations need memory too. It
/// holds at most one context for each sequence. It may hold less than one context, which then bounds the requests.
///
/// # Errors
/// There is room for too few positions.
pub(super) fn cache_positions(
    requested_mib: Option<usize>,
    free: Option<u64>,
    bytes_per_position: usize,
    context: usize,
    sequences: usize,
) -> anyhow::Result<usize> {
    let bytes = match (requested_mib, free) {
        (Some(mib), _) => mib.saturating_mul(1 << 20),
        (None, Some(free)) => usize::try_from(free / 2).unwrap_or(usize::MAX),
        (None, None) => 1 << 30,
    };
    let positions = (bytes / bytes_per_position.max(1)).min(context.saturating_mul(sequences));
    ensure!(
        positions >= MIN_POSITIONS.min(context),
        "the cache has room for {positions} tokens and needs {}, which take {} MB: raise the memory limit, or --cache-mib if it is set",
        MIN_POSITIONS.min(context),
        MIN_POSITIONS.min(context).saturating_mul(bytes_per_position) / 1_000_000
    );
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_never_exceeds_the_memory_or_one_context_for_each_sequence() {
        let positions = |mib, free| cache_positions(mib, free, 1024, 1000, 64).ok();
        assert_eq!(positions(Some(1), None), Some(1024));
        assert_eq!(positions(None, Some(1 << 20)), Some(512));
        assert_eq!(positions(None, Some(1 << 40)), Some(64_000));
        assert_eq!(positions(None, Some(0)), None);
        let small = cache_positions(None, Some(1 << 18), 1024, 100, 64);
        assert_eq!(small.ok(), Some(128));
    }
}
