//! What an administrator can choose; parsed by the program, a value here.

use jiff::SignedDuration;

/// Settings of the planner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Written to every pool and compared before any is deleted, so that two clusters that share a name space
    /// never touch each other's pools. Empty means not compared.
    pub cluster_id: String,
    /// How long a drain may take before pods are deleted rather than evicted.
    pub drain_timeout: SignedDuration,
    /// How long a pool may be in `Succeeded` without a Node before it is made again.
    pub registration_timeout: SignedDuration,
    /// How long a pool may be in `Creating` before its operation is cancelled and it is made again.
    pub launch_timeout: SignedDuration,
    /// How long after a request to make a pool the pool may still turn up, although reads miss it. A claim that is
    /// deleted meanwhile waits for it.
    pub landing: SignedDuration,
    /// First and longest pause after a failed request; doubled at each failure.
    pub backoff: (SignedDuration, SignedDuration),
    /// First and longest pause after a quota or capacity refusal; doubled at each failure.
    pub capacity_backoff: (SignedDuration, SignedDuration),
    /// How often a pool that is being made or deleted is looked at when no listing tells.
    pub poll: SignedDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_id: String::new(),
            drain_timeout: SignedDuration::from_mins(10),
            registration_timeout: SignedDuration::from_mins(15),
            launch_timeout: SignedDuration::from_mins(60),
            landing: SignedDuration::from_mins(2),
            backoff: (SignedDuration::from_secs(1), SignedDuration::from_mins(1)),
            capacity_backoff: (SignedDuration::from_mins(1), SignedDuration::from_mins(10)),
            poll: SignedDuration::from_secs(15),
        }
    }
}
