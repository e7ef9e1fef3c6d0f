//! Facts about the host: memory for estimates, and the JSON of the data plane's `/metrics`. Reads only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Time over which the load of the processors is measured.
const WATCHED: Duration = Duration::from_millis(250);
const GIB: f64 = 1_073_741_824.0;

/// Directory of this process's control group, as a container sees it.
const CGROUP: &str = "/sys/fs/cgroup";

/// Bytes that this process may still allocate: the smaller of the host's free memory and the rest of its control group.
#[must_use]
pub fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| kibibytes(&text, "MemAvailable"));
    [machine, group_available(Path::new(CGROUP))]
        .into_iter()
        .flatten()
        .min()
}

/// Rest of a control group of version 2 or 1; `None` without a limit. Files that the kernel caches for the group can be dropped, so
/// they count as free.
fn group_available(root: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(root.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let rest = |limit: &str, used: &str, stat: &str, cached: &str| {
        let cached = read(stat)
            .and_then(|text| {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix(cached)?.strip_prefix(' '))?;
                line.trim().parse::<u64>().ok()
            })
            .unwrap_or(0);
        Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(cached)))
    };
    rest("memory.max", "memory.current", "memory.stat", "inactive_file").or_else(|| {
        rest(
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        )
    })
}

/// Peak memory of this process in bytes.
#[must_use]
pub fn peak() -> Option<u64> {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| kibibytes(&text, "VmHWM"))
}

/// A line of `/proc/meminfo` or `/proc/self/status`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Load and memory in the format of KAITO's Python server. `gpu_info` is null: this program runs on the CPU.
pub async fn report() -> Value {
    let before = times();
    tokio::time::sleep(WATCHED).await;
    let load = before
        .zip(times())
        .map_or(0.0, |(before, after)| load(before, after));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = kibibytes(&memory, "MemTotal").unwrap_or(0);
    let used = total.saturating_sub(kibibytes(&memory, "MemAvailable").unwrap_or(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| cores(&text))
        .unwrap_or(threads);
    json!({
        "gpu_info": null,
        "cpu_info": {
            "load_percentage": load, "physical_cores": cores, "total_cores": threads,
            "memory": {"used": gib(used), "total": gib(total)},
        },
    })
}

fn gib(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / GIB)
}

/// Busy and total time of all processors, in ticks.
fn times() -> Option<(u64, u64)> {
    ticks(&fs::read_to_string("/proc/stat").ok()?)
}

fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let all: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let total: u64 = all.iter().sum();
    let idle = all.get(3)? + all.get(4)?;
    Some((total - idle, total))
}

fn load(before: (u64, u64), after: (u64, u64)) -> f64 {
    let total = after.1.saturating_sub(before.1);
    if total == 0 {
        return 0.0;
    }
    (after.0.saturating_sub(before.0) as f64 / total as f64 * 1000.0).round() / 10.0
}

/// Distinct pairs of socket and core.
fn cores(cpuinfo: &str) -> Option<usize> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find(|line| line.starts_with(name))?;
        line.split(':').nth(1).map(|value| value.trim().to_owned())
    };
    let pairs: BTreeSet<(String, String)> = cpuinfo
        .split("\n\n")
        .filter_map(|block| Some((field(block, "physical id")?, field(block, "core id")?)))
        .collect();
    (!pairs.is_empty()).then_some(pairs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_bytes_and_loads_are_shares() {
        assert_eq!(
            kibibytes("MemTotal:  100 kB\nMemAvailable:  42 kB\n", "MemAvailable"),
            Some(42 * 1024)
        );
        assert_eq!(kibibytes("MemTotal:  100 kB\n", "Mem"), None);
        assert!((load((100, 200), (120, 300)) - 20.0).abs() < 1e-9);
        assert_eq!(
            cores("physical id\t: 0\ncore id\t: 0\n\nphysical id\t: 0\ncore id\t: 0\n"),
            Some(1)
        );
        assert!(peak().unwrap() > 1 << 20);
    }

    #[test]
    fn loads_are_shares_of_the_time_between() {
        let stat = |user: u64, idle: u64| format!("cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1\n");
        let (before, after) = (ticks(&stat(100, 100)).unwrap(), ticks(&stat(120, 180)).unwrap());
        assert!((load(before, after) - 20.0).abs() < 1e-9);
        assert!(load(after, after).abs() < 1e-9);
    }

    #[test]
    fn cores_are_counted_once() {
        let cpuinfo = "physical id\t: 0\ncore id\t: 0\n\nphysical id\t: 0\ncore id\t: 0\n\nphysical id\t: 0\ncore id\t: 1\n";
        assert_eq!(cores(cpuinfo), Some(2));
        assert_eq!(cores(""), None);
        assert_eq!(gib(4 << 30), "4.00 GB");
    }

    #[test]
    fn the_limit_of_either_version_of_control_groups_counts() {
        let write = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = root.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            root
        };
        let second = write(&[
            ("memory.max", "1000\n"),
            ("memory.current", "700\n"),
            ("memory.stat", "anon 1\ninactive_file 200\n"),
        ]);
        assert_eq!(group_available(second.path()), Some(500));
        let first = write(&[
            ("memory/memory.limit_in_bytes", "1000\n"),
            ("memory/memory.usage_in_bytes", "900\n"),
        ]);
        assert_eq!(group_available(first.path()), Some(100));
        let unlimited = write(&[("memory.max", "max\n"), ("memory.current", "700\n")]);
        assert_eq!(group_available(unlimited.path()), None);
    }
}
