//! Agent pools as planners see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Tag that marks a pool as made by this project; the value is [`TAG_MANAGED_BY_VALUE`].
pub const TAG_MANAGED_BY: &str = "kaito-managed-by";
/// Value of [`TAG_MANAGED_BY`].
pub const TAG_MANAGED_BY_VALUE: &str = "gpu-provisioner";
/// Tag that holds the UID of the claim the pool was made for.
pub const TAG_CLAIM_UID: &str = "kaito-claim-uid";
/// Tag that holds the id of the Kubernetes cluster the pool was made from, where one is configured.
pub const TAG_CLUSTER: &str = "kaito-cluster";

/// A pool as the cloud reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentPool {
    /// Name, unique in the cluster; equal to the claim's.
    pub name: String,
    /// Wanted number of nodes.
    pub count: Option<i32>,
    /// Instance type of the nodes.
    pub vm_size: Option<String>,
    /// Where the pool is.
    pub state: ProvisioningState,
    /// `System` or `User`.
    pub mode: Option<String>,
    /// Labels that the cloud puts on the nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints that the cloud puts on the nodes, as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Tags of the pool.
    pub tags: BTreeMap<String, String>,
    /// Version of the pool for conditional requests; changes again when an operation completes.
    pub etag: Option<String>,
    /// Image the nodes run.
    pub node_image: Option<String>,
}

/// Who made a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// We did, for the claim of this UID.
    Ours {
        /// UID of the claim.
        claim_uid: String,
    },
    /// Upstream's gpu-provisioner did; a claim of the pool's name may adopt it.
    Upstream,
    /// Somebody else; never touched.
    Foreign,
}

impl AgentPool {
    /// Who made this pool. System pools are never ours.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        if self.mode.as_deref() == Some("System") {
            return Ownership::Foreign;
        }
        let ours = self
            .tags
            .get(TAG_MANAGED_BY)
            .is_some_and(|v| v == TAG_MANAGED_BY_VALUE);
        if let (true, Some(uid)) = (ours, self.tags.get(TAG_CLAIM_UID)) {
            return Ownership::Ours {
                claim_uid: uid.clone(),
            };
        }
        let has = |key: &str| self.labels.contains_key(key);
        let upstream = has("kaito.sh/creation-timestamp")
            && has("karpenter.sh/nodepool")
            && (has("kaito.sh/workspace") || has("kaito.sh/ragengine"));
        if upstream {
            Ownership::Upstream
        } else {
            Ownership::Foreign
        }
    }

    /// Id of the Kubernetes cluster the pool was made from; `None` when it carries none.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.tags.get(TAG_CLUSTER).map(String::as_str)
    }
}

/// `properties.provisioningState`: an open set, so unknown words are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvisioningState {
    /// Being made.
    #[default]
    Creating,
    /// Being changed: `Updating`, `Scaling`, `Upgrading` and the like.
    Changing(String),
    /// Done.
    Succeeded,
    /// Went wrong.
    Failed,
    /// An operation was cancelled; the pool is in an unknown state.
    Canceled,
    /// Being deleted.
    Deleting,
}

impl ProvisioningState {
    /// Reads the cloud's word; letter case is ignored, an absent word means it is being changed.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "creating" => Self::Creating,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "canceled" | "cancelled" => Self::Canceled,
            "deleting" => Self::Deleting,
            _ => Self::Changing(word.to_owned()),
        }
    }

    /// The cloud's word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Creating => "Creating",
            Self::Changing(word) => word,
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::Deleting => "Deleting",
        }
    }
}

/// A pool to make: always one node, always Linux.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentPoolSpec {
    /// Name: 1 to 12 lower-case letters and digits, a letter first.
    pub name: String,
    /// Instance type.
    pub vm_size: String,
    /// Size of the system disk in GiB; `None` lets the cloud choose.
    pub os_disk_gib: Option<u32>,
    /// `Ubuntu` or `AzureLinux`.
    pub os_sku: String,
    /// Labels of the node.
    pub labels: BTreeMap<String, String>,
    /// Taints of the node, as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Tags of the pool; carries the ownership marker.
    pub tags: BTreeMap<String, String>,
}
