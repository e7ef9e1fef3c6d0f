//! How much memory there is, and how much of it the cache may take.
//!
//! The numbers are read here; what follows from them is a function of values.

use std::fs;

/// Bytes this process may still take: the smaller of what the machine has and what its control group leaves.
pub(crate) fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo(&text, "MemAvailable"));
    let group = |name: &str| {
        fs::read_to_string(format!("/sys/fs/cgroup/{name}"))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let left = group("memory.max")
        .zip(group("memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    [machine, left].into_iter().flatten().min()
}

/// A line of `/proc/meminfo`, in bytes.
pub(crate) fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

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
    fn meminfo_is_in_bytes() {
        let text = "MemTotal:       100 kB\nMemAvailable:    42 kB\n";
        assert_eq!(meminfo(text, "MemAvailable"), Some(42 * 1024));
        assert_eq!(meminfo(text, "Mem"), None);
    }

    #[test]
    fn the_cache_has_room_for_a_context_and_not_for_more_than_can_be_used() {
        assert_eq!(cache_positions(Some(1), None, 1024, 100, 64), 1024);
        assert_eq!(cache_positions(None, Some(1 << 20), 1024, 100, 64), 512);
        assert_eq!(cache_positions(None, Some(0), 1024, 100, 64), 100);
        assert_eq!(cache_positions(None, Some(1 << 40), 1024, 100, 64), 6400);
    }
}
