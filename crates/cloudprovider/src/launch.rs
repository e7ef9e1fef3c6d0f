//! Launches: what a planner asks a cloud to create, and the limits that it checks before it asks.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::node_options::NodeOptions;
use crate::offering::{CapacityType, Offering};

/// An instance to create: always one Linux node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// Name of the instance, within [`LaunchLimits::name_max`].
    pub name: String,
    /// Instance type.
    pub instance_type: String,
    /// Way of paying for it.
    pub capacity_type: CapacityType,
    /// Zone, one of [`LaunchLimits::zones`]; `None` lets the cloud choose.
    pub zone: Option<String>,
    /// Family of the Node's image, one of [`LaunchLimits::image_families`] in any letter case; `None` means the cloud's
    /// default.
    pub image_family: Option<String>,
    /// Size of the system disk in GiB, within [`LaunchLimits::disk_gib`]; `None` lets the cloud choose.
    pub disk_gib: Option<u32>,
    /// Labels of the Node.
    pub labels: BTreeMap<String, String>,
    /// Taints of the Node, as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Properties beyond these.
    pub options: NodeOptions,
    /// Tags of the instance, which carry the mark of ownership.
    pub tags: BTreeMap<String, String>,
}

impl LaunchSpec {
    /// The offering that is bought.
    #[must_use]
    pub fn offering(&self) -> Offering {
        Offering {
            instance_type: self.instance_type.clone(),
            capacity_type: self.capacity_type,
            zone: self.zone.clone(),
        }
    }
}

/// Limits of a cloud, given to the planner as data so that it can reject a claim without a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchLimits {
    /// Most characters of a name. A name has lower-case letters and digits only, a letter first.
    pub name_max: usize,
    /// Sizes of a system disk, in GiB.
    pub disk_gib: RangeInclusive<u32>,
    /// Families of images, in lower case. Empty if the cloud takes any word.
    pub image_families: &'static [&'static str],
    /// Zones in the cloud's short form, in its own order. Empty if zones cannot be chosen.
    pub zones: &'static [&'static str],
    /// Region of the cluster, the first part of a zone's long form `region-zone`. Empty if it is not known.
    pub region: String,
}

impl Default for LaunchLimits {
    /// The limits of Kubernetes alone.
    fn default() -> Self {
        Self {
            name_max: 63,
            disk_gib: 1..=u32::MAX,
            image_families: &[],
            zones: &[],
            region: String::new(),
        }
    }
}
