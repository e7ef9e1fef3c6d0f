//! Instances as planners see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ProviderError;
use crate::launch::LaunchSpec;
use crate::offering::{CapacityType, Offering};
use crate::tags;

/// One machine of a cloud, made for one claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Name, unique in the cluster; equal to the claim's.
    pub name: String,
    /// Progress of its creation or deletion.
    pub state: InstanceState,
    /// Maker of the instance.
    pub owner: Ownership,
    /// Id of the Kubernetes cluster that it was made from, if it carries one.
    pub cluster_id: Option<String>,
    /// Instance type.
    pub instance_type: Option<String>,
    /// Way of paying for it.
    pub capacity_type: CapacityType,
    /// Zones that it was asked for in; empty if the cloud chose.
    pub zones: Vec<String>,
    /// Labels that the cloud puts on the Node.
    pub labels: BTreeMap<String, String>,
    /// Taints that the cloud puts on the Node, as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Version for conditional requests; changes again when an operation completes.
    pub version: Option<String>,
    /// Image that the Node runs.
    pub image: Option<String>,
    /// Reason of the last failed operation, if the cloud keeps it with the instance.
    pub failure: Option<ProviderError>,
    /// The instance was stopped in the cloud, or is being stopped. It has no working Node until it is started there.
    pub stopped: bool,
}

impl Instance {
    /// The instance that an accepted launch creates.
    #[must_use]
    pub fn launching(spec: &LaunchSpec) -> Self {
        Self {
            name: spec.name.clone(),
            state: InstanceState::Creating,
            owner: Ownership::from_tags(&spec.tags).unwrap_or_default(),
            cluster_id: tags::cluster_id(&spec.tags),
            instance_type: Some(spec.instance_type.clone()),
            capacity_type: spec.capacity_type,
            zones: spec.zone.iter().cloned().collect(),
            labels: spec.labels.clone(),
            taints: spec.taints.clone(),
            version: None,
            image: None,
            failure: None,
            stopped: false,
        }
    }

    /// The offering that was bought; `None` if the instance type is not known.
    #[must_use]
    pub fn offering(&self) -> Option<Offering> {
        Some(Offering {
            instance_type: self.instance_type.clone()?,
            capacity_type: self.capacity_type,
            zone: self.zones.first().cloned(),
        })
    }
}

/// Maker of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    /// This project, for the claim of this UID.
    Ours {
        /// UID of the claim.
        claim_uid: String,
    },
    /// Upstream's gpu-provisioner. A claim of the instance's name may adopt it.
    Upstream,
    /// Any other program or person. The instance is never touched.
    #[default]
    Foreign,
}

impl Ownership {
    /// Reads our mark; `None` if the tags do not carry it.
    #[must_use]
    pub fn from_tags(all: &BTreeMap<String, String>) -> Option<Self> {
        let marked = all
            .get(tags::MANAGED_BY)
            .is_some_and(|v| v == tags::MANAGED_BY_VALUE);
        let claim_uid = all.get(tags::CLAIM_UID).filter(|_| marked)?.clone();
        Some(Self::Ours { claim_uid })
    }
}

/// State of an instance. Unknown words of a cloud are kept, because the set is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceState {
    /// Being created.
    #[default]
    Creating,
    /// Being changed, in the cloud's own word.
    Changing(String),
    /// Created.
    Succeeded,
    /// Its last operation failed.
    Failed,
    /// An operation was canceled; the instance is in an unknown state.
    Canceled,
    /// Being deleted.
    Deleting,
}

impl InstanceState {
    /// One word for people.
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
