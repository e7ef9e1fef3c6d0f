//! The control API under `/_control/`: scripts faults, changes the behavior, edits pools past the API, and shows the
//! recorded requests. JSON without authentication, for tests.

mod client;
pub(crate) mod routes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::config::{Behavior, BootMode, BootRule, EndTime, OfferingRule};
pub use crate::errors::Named;
pub use crate::faults::{Action, FaultRule, Verb};
pub use crate::recorder::{Counters, Recorded};
pub use client::{ControlClient, ControlError};

/// A pool as the server knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// Name.
    pub name: String,
    /// Provisioning state.
    pub state: String,
    /// Requested number of nodes.
    pub count: u64,
    /// Instance type.
    pub vm_size: String,
    /// Entity tag.
    pub etag: String,
    /// The body of GET.
    pub body: Value,
}

/// A change to a pool, or a new pool, by another user. Absent fields stay, or get the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolEdit {
    /// Requested number of nodes.
    pub count: Option<u32>,
    /// Instance type.
    pub vm_size: Option<String>,
    /// `System` or `User`.
    pub mode: Option<String>,
    /// Provisioning state; ends the running operation.
    pub state: Option<String>,
    /// Labels of the nodes.
    pub labels: Option<BTreeMap<String, String>>,
    /// Taints of the nodes.
    pub taints: Option<Vec<String>>,
    /// Stops or starts it, unless an operation runs on it.
    pub stopped: Option<bool>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Boots or removes nodes to match the count.
    pub boot: bool,
}

/// State of the managed cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterView {
    /// It does not exist.
    pub missing: bool,
    /// It is stopped, so writes are refused.
    pub stopped: bool,
    /// It is being changed, so writes are refused.
    pub busy: bool,
}

/// A scripted fault and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedFault {
    /// Number.
    pub id: u64,
    /// The rule.
    pub rule: FaultRule,
}
