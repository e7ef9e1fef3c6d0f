//! Memory and processor time of a process, from `/proc`.

use anyhow::{Context as _, Result};

/// Figures of one process since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Most resident memory it ever had, in MB (10⁶ bytes).
    pub(crate) peak_rss_mb: f64,
    /// Resident memory now, in MB (10⁶ bytes).
    pub(crate) rss_mb: f64,
    /// User and system time, in seconds.
    pub(crate) cpu_seconds: f64,
}

// Linux counts process times in clock ticks of 1/100 s on every architecture it runs on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = |field: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kib: f64 = line
                .context("no such field")?
                .trim()
                .trim_end_matches(" kB")
                .parse()?;
            Ok(kib * 1024.0 / 1e6)
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Fields are counted after the parenthesised name, which may hold spaces: utime is 14th, stime 15th.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .context("no name")?
            .1
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(Self {
            peak_rss_mb: memory("VmHWM:")?,
            rss_mb: memory("VmRSS:")?,
            cpu_seconds: ticks / TICKS_PER_SECOND,
        })
    }
}
