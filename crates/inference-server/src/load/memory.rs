//! Memory for weights and for the cache.

use anyhow::ensure;
use model::{Precision, Spec};

/// Refuses weights that do not fit the free memory, before they are read: the kernel would kill the process without a message.
pub(super) fn check_weights(spec: &Spec, stored_bytes: u64, precision: Precision) -> anyhow::Result<()> {
    let parameters = spec.num_parameters();
    let needed = match precision {
        Precision::Auto => stored_bytes,
        Precision::F32 => parameters * 4,
        Precision::Bf16 => parameters * 2,
        Precision::Q8 => parameters * 17 / 16,
    };
    if let Some(free) = telemetry::host::available() {
        ensure!(
            needed <= free,
            "the weights need {} MB and {} MB are free: raise the memory limit, or use --dtype q8",
            needed / 1_000_000,
            free / 1_000_000
        );
    }
    Ok(())
}

/// Returns the number of positions in the cache. Pure.
///
/// `requested_mib` wins. Otherwise the cache gets half of the `free` bytes, because scores and activations need memory too. It
/// holds at least one context, without which no request of full length could run, and at most one for each sequence.
pub(super) fn cache_positions(
    requested_mib: Option<usize>,
    free: Option<u64>,
    bytes_per_position: usize,
    context: usize,
    sequences: usize,
) -> usize {
    let bytes = match (requested_mib, free) {
        (Some(mib), _) => mib.saturating_mul(1 << 20),
        (None, Some(free)) => usize::try_from(free / 2).unwrap_or(usize::MAX),
        (None, None) => 1 << 30,
    };
    let max = context.saturating_mul(sequences);
    (bytes / bytes_per_position.max(1)).clamp(context, max.max(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_holds_one_context_to_one_for_each_sequence() {
        assert_eq!(cache_positions(Some(1), None, 1024, 100, 64), 1024);
        assert_eq!(cache_positions(None, Some(1 << 20), 1024, 100, 64), 512);
        assert_eq!(cache_positions(None, Some(0), 1024, 100, 64), 100);
        assert_eq!(cache_positions(None, Some(1 << 40), 1024, 100, 64), 6400);
    }
}
