//! Faults of one machine.

use jiff::Timestamp;

/// Faults of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineFaults {
    /// Its kubelet does not report any more.
    pub silent: bool,
    /// Number of its GPUs that do not work.
    pub lost_gpus: u32,
    /// Its capacity is spot.
    pub spot: bool,
    /// The cloud takes it back at this time, and says so.
    pub evicted: Option<Timestamp>,
}

impl MachineFaults {
    /// Returns true if nothing is wrong with the machine.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.silent && self.lost_gpus == 0 && self.evicted.is_none()
    }
}
