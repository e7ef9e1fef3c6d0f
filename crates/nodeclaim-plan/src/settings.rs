//! Settings of an administrator. The program parses them; here they are values.

use cloudprovider::{LaunchLimits, SpotMarks};
use jiff::SignedDuration;

use crate::repair::rule::RepairRules;

/// Settings of the planner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limits of the cloud on a launch.
    pub launch_limits: LaunchLimits,
    /// Marks of the cloud's spot Nodes.
    pub spot_marks: SpotMarks,
    /// Signs of unhealthy Nodes, which are replaced. None replaces no Node.
    pub repair_rules: RepairRules,
    /// Replace nodes whose node class has changed since they were made.
    pub replaces_drifted: bool,
    /// Replace nodes of NodeClaims that are older than their `expireAfter`.
    pub replaces_expired: bool,
    /// Age of the newest listing of the cloud above which no unhealthy Node is replaced.
    pub cloud_silence: SignedDuration,
    /// Id of this cluster, written to every instance and compared before one is deleted. Empty means not compared.
    ///
    /// Two clusters that share a scope of the cloud thus never touch each other's instances.
    pub cluster_id: String,
    /// The cluster of the cloud: subscription, group and name on Azure. Noted on every claim that is launched, and compared
    /// with the note. Empty means not compared.
    pub place: String,
    /// Name of the `KaitoNodeClass` of Machines that name none.
    pub machine_class: String,
    /// Time that a drain may take before pods are deleted rather than evicted.
    pub drain_timeout: SignedDuration,
    /// Time that an instance may be complete without a Node before it is replaced.
    pub registration_timeout: SignedDuration,
    /// Time that an instance may be in creation before that is canceled and the instance replaced.
    pub launch_timeout: SignedDuration,
    /// Time after a create request during which the instance may still appear, although reads miss it. A claim that is
    /// deleted meanwhile waits for it.
    pub create_visibility_timeout: SignedDuration,
    /// Share of the live claims, in percent, that may be deleted within ten minutes because their Nodes were deleted or are
    /// unhealthy. One always may.
    pub node_deletion_percent: u8,
    /// First and longest pause after a failed request; doubled at each failure.
    pub backoff: (SignedDuration, SignedDuration),
    /// First and longest pause after a quota or capacity refusal; doubled at each failure.
    pub capacity_backoff: (SignedDuration, SignedDuration),
    /// Time between two looks at an instance that is being created or deleted.
    pub poll: SignedDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            launch_limits: LaunchLimits::default(),
            spot_marks: SpotMarks::default(),
            repair_rules: RepairRules::default(),
            replaces_drifted: false,
            replaces_expired: false,
            cloud_silence: SignedDuration::from_mins(5),
            cluster_id: String::new(),
            place: String::new(),
            machine_class: kaito_api::node_class::DEFAULT.to_owned(),
            drain_timeout: SignedDuration::from_mins(10),
            registration_timeout: SignedDuration::from_mins(15),
            launch_timeout: SignedDuration::from_mins(60),
            create_visibility_timeout: SignedDuration::from_mins(2),
            node_deletion_percent: 20,
            backoff: (SignedDuration::from_secs(1), SignedDuration::from_mins(1)),
            capacity_backoff: (SignedDuration::from_mins(1), SignedDuration::from_mins(10)),
            poll: SignedDuration::from_secs(15),
        }
    }
}
