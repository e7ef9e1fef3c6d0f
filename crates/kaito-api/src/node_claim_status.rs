//! The status of a NodeClaim, which the provisioner reports.
//!
//! Conditions have the shape of `karpenter.sh/v1`. An unfinished step is `Unknown`; `False` is for problems that need a
//! person. `Ready` follows from the three steps.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Observed state of a NodeClaim.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimStatus {
    /// Name of the Node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// Provider id of the Node, as the Node spells it.
    #[serde(default, rename = "providerID", skip_serializing_if = "String::is_empty")]
    pub provider_id: String,
    /// Image that the Node runs.
    #[serde(default, rename = "imageID", skip_serializing_if = "String::is_empty")]
    pub image_id: String,
    /// Resources of the Node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capacity: BTreeMap<String, Quantity>,
    /// Resources of the Node that pods may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// Conditions, one a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<NodeClaimCondition>,
    /// Time at which a pod last came to the Node or left it; Karpenter writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pod_event_time: Option<Time>,
}

impl NodeClaimStatus {
    /// Returns the condition of this type.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&NodeClaimCondition> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }
}

/// One condition, in the shape of `karpenter.sh/v1`.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimCondition {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason, as one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Cause and remedy, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Time of the last change of the status.
    pub last_transition_time: Time,
    /// Generation of the object that this condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Conditions of a terminating NodeClaim, in the order in which they become true.
pub const TERMINATION_CONDITIONS: [&str; 3] = [DRAINED, VOLUMES_DETACHED, INSTANCE_TERMINATING];
/// The Node is drained.
pub const DRAINED: &str = "Drained";
/// No volume is attached to the Node.
pub const VOLUMES_DETACHED: &str = "VolumesDetached";
/// The deletion of the instance was requested.
pub const INSTANCE_TERMINATING: &str = "InstanceTerminating";

/// Reason of `Ready` while a stage has failed in a way that does not heal.
pub const UNHEALTHY_DEPENDENTS: &str = "UnhealthyDependents";
/// Reason of `Ready` while a stage is not done.
pub const RECONCILING_DEPENDENTS: &str = "ReconcilingDependents";
