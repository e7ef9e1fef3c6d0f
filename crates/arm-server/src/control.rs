//! The control API under `/_control/`: script faults, change the behaviour, edit pools past the API, read back
//! what was asked. JSON; for tests, without authentication.

mod client;
pub(crate) mod routes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::config::{Behaviour, BootMode, BootRule};
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
    /// Wanted number of nodes.
    pub count: u64,
    /// Instance type.
    pub vm_size: String,
    /// Entity tag.
    pub etag: String,
    /// The body that GET shows.
    pub body: Value,
}

/// A change to a pool, or a new pool, by somebody else. What is absent stays, or gets the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolEdit {
    /// Wanted number of nodes.
    pub count: Option<u32>,
    /// Instance type.
    pub vm_size: Option<String>,
    /// `System` or `User`.
    pub mode: Option<String>,
    /// Provisioning state; ends what is under way.
    pub state: Option<String>,
    /// Labels of the nodes.
    pub labels: Option<BTreeMap<String, String>>,
    /// Taints of the nodes.
    pub taints: Option<Vec<String>>,
    /// Tags.
    pub tags: Option<BTreeMap<String, String>>,
    /// Its nodes are made to fit its count.
    pub boot: bool,
}

/// How the managed cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterView {
    /// It is not there.
    pub missing: bool,
    /// It is stopped: writes are refused.
    pub stopped: bool,
    /// It is being changed: writes are refused.
    pub busy: bool,
}

/// A scripted fault and the number it is removed by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedFault {
    /// Number.
    pub id: u64,
    /// The rule.
    pub rule: FaultRule,
}
