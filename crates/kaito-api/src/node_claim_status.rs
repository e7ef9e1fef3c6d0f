//! What the provisioner reports of a NodeClaim.
//!
//! Conditions have the shape of `karpenter.sh/v1`: a step that is not done is `Unknown` until it is done, `False` is
//! for what does not heal by itself, and `Ready` follows from the three steps.

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
    /// When a pod last came to the Node or left it; Karpenter writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pod_event_time: Option<Time>,
}

impl NodeClaimStatus {
    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, type_: &str) -> Option<&NodeClaimCondition> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }
}

/// One condition, in the shape of `karpenter.sh/v1`.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimCondition {
    /// Which condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is so and what to do, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the status last changed.
    pub last_transition_time: Time,
    /// Generation of the object of which this is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Conditions of a NodeClaim that is being deleted, in the order in which they come true.
pub const LEAVING: [&str; 3] = [DRAINED, VOLUMES_DETACHED, INSTANCE_TERMINATING];
/// No pod that is waited for is on the Node.
pub const DRAINED: &str = "Drained";
/// No volume is attached to the Node.
pub const VOLUMES_DETACHED: &str = "VolumesDetached";
/// The instance was asked to go.
pub const INSTANCE_TERMINATING: &str = "InstanceTerminating";

/// Reason of `Ready` while a stage has failed in a way that does not heal.
pub const UNHEALTHY_DEPENDENTS: &str = "UnhealthyDependents";
/// Reason of `Ready` while a stage is not done.
pub const RECONCILING_DEPENDENTS: &str = "ReconcilingDependents";
