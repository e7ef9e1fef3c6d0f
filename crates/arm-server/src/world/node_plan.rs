//! Nodes to boot, and the tasks of the booter.

use std::collections::BTreeMap;
use std::time::Duration;

use super::capacity::Capacity;
use crate::config::BootMode;

/// A node to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodePlan {
    pub(crate) name: String,
    pub(crate) provider_id: String,
    pub(crate) pool: String,
    pub(crate) cluster: String,
    pub(crate) location: String,
    pub(crate) vm_size: String,
    pub(crate) capacity: Capacity,
    pub(crate) system: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<String>,
    pub(crate) mode: BootMode,
    /// Zone, as the label of a Node has it.
    pub(crate) zone: String,
    /// A notice of its eviction is due.
    pub(super) evicted: bool,
    /// Time at which it must be gone.
    pub(super) gone_at: Option<Duration>,
    /// The booter has received its task.
    pub(super) handed_out: bool,
}

/// A task of the booter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeTask {
    Make(Box<NodePlan>),
    /// Announce the eviction of a spot machine.
    Announce(String),
    Remove(String),
}
