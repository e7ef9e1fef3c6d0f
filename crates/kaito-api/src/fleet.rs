//! The record of a cloud's instances that gpu-provisioner publishes, so that people see them without access to the cloud.
//!
//! It is output: no decision of a program depends on it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

/// Key of the ConfigMap that holds the record, as JSON.
pub const FLEET_KEY: &str = "fleet.json";
/// End of the ConfigMap's name, after that of the release.
pub const FLEET_SUFFIX: &str = "-fleet";

/// All instances of the cluster, as the last complete listing showed them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetRecord {
    /// Reason for which the program launches and deletes nothing; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held: String,
    /// Instances, by name.
    pub instances: Vec<FleetInstance>,
    /// The cloud has not listed its instances for minutes, so the record may be old.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Number of instances that the record has no room for.
    #[serde(default)]
    pub left_out: usize,
}

/// One instance: on AKS an agent pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetInstance {
    /// Name, unique in the cluster.
    pub name: String,
    /// Relation to the claims of the cluster.
    pub owner: FleetOwner,
    /// Name of the claim; empty if none has the instance.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim: String,
    /// State in the cloud, as one word.
    pub state: String,
    /// Instance type; empty if the cloud does not report it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance_type: String,
    /// Creation of the claim that the instance was made for, if the instance carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// Relation of an instance to the claims of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FleetOwner {
    /// It has its claim.
    Claimed,
    /// It was made for a claim that is gone, and is deleted.
    Orphaned,
    /// Another gpu-provisioner made it, and no claim has its name. It is never deleted.
    UnclaimedUpstream,
    /// It was made for another cluster. It is never deleted.
    OtherCluster,
    /// Another program or person made it. It is never touched.
    #[default]
    Foreign,
}

impl FleetOwner {
    /// All relations.
    pub const ALL: [Self; 5] = [
        Self::Claimed,
        Self::Orphaned,
        Self::UnclaimedUpstream,
        Self::OtherCluster,
        Self::Foreign,
    ];

    /// Value of the label `owner` in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Orphaned => "orphaned",
            Self::UnclaimedUpstream => "unclaimed_upstream",
            Self::OtherCluster => "other_cluster",
            Self::Foreign => "foreign",
        }
    }
}
