//! The `KaitoNodeClass` resource: how the nodes of gpu-provisioner are made, beyond what a claim asks for.
//!
//! `kaito.sh/v1alpha1`, optional. A claim names its class; the class `default` needs no object. A class is read when an
//! instance is launched, so a change concerns later instances only.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::workspace_rules::CelRule;

/// Name of the class that needs no object.
pub const DEFAULT: &str = "default";
/// Definition of the kind.
pub const DEFINITION: &str = "kaitonodeclasses.kaito.sh";

/// Resource id of a subnet.
const SUBNET: &str = r"(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+$";

/// Rules on the whole spec.
pub(crate) const RULES: &[CelRule] = &[
    CelRule {
        path: &["spec"],
        rule: "!has(self.podSubnetId) || has(self.subnetId)",
        message: "podSubnetId requires subnetId",
    },
    CelRule {
        path: &["spec", "tags"],
        rule: "self.all(key, !key.startsWith('kaito-') && size(key) > 0 && size(key) <= 512)",
        message: "tags must have 1 to 512 characters and must not begin with kaito-, which is gpu-provisioner's own",
    },
    CelRule {
        path: &["spec"],
        rule: "!has(self.gpuInstanceProfile) || !has(self.gpuDriver) || self.gpuDriver == 'Install'",
        message: "gpuInstanceProfile requires the driver that the cloud installs: leave out gpuDriver",
    },
];

/// Properties of the nodes of a class. What is left out is chosen by the cloud.
#[derive(CustomResource, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "kaito.sh",
    version = "v1alpha1",
    kind = "KaitoNodeClass",
    plural = "kaitonodeclasses",
    singular = "kaitonodeclass",
    category = "kaito",
    derive = "Default",
    derive = "PartialEq",
    doc = "KaitoNodeClass describes how gpu-provisioner makes nodes: network, disk, image, driver and tags."
)]
#[serde(rename_all = "camelCase")]
pub struct KaitoNodeClassSpec {
    /// Subnet of the nodes, as an Azure resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = SUBNET))]
    pub subnet_id: Option<String>,
    /// Subnet of the pods, as an Azure resource id. It requires a subnet of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = SUBNET))]
    pub pod_subnet_id: Option<String>,
    /// Tags of the agent pools. Those that begin with `kaito-` are gpu-provisioner's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Operating system and its version; it takes precedence over the image family of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_sku: Option<OsSku>,
    /// Smallest system disk in GiB. A claim that asks for more gets more.
    #[serde(default, rename = "osDiskSizeGiB", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 2048))]
    pub os_disk_size_gib: Option<i32>,
    /// Place of the system disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_disk_type: Option<OsDiskType>,
    /// Installation of the GPU driver. `None` is for clusters whose GPU operator installs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_driver: Option<GpuDriver>,
    /// Partition of each GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_instance_profile: Option<GpuInstanceProfile>,
    /// Use an operating system that is validated by FIPS 140-2.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fips: bool,
    /// Encrypt temporary disks and caches on the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encryption_at_host: bool,
    /// Most pods of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 250))]
    pub max_pods: Option<i32>,
    /// Capacity reservation group, as an Azure resource id. The capacity type `reserved` is bought from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 512),
        regex(
            pattern = r"(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/capacityReservationGroups/[^/]+$"
        )
    )]
    pub capacity_reservation_group_id: Option<String>,
    /// Proximity placement group, as an Azure resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 512),
        regex(
            pattern = r"(?i)^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/proximityPlacementGroups/[^/]+$"
        )
    )]
    pub proximity_placement_group_id: Option<String>,
}

/// Operating systems of AKS with and without a version.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the system it is named after")]
pub enum OsSku {
    Ubuntu,
    Ubuntu2204,
    Ubuntu2404,
    AzureLinux,
    AzureLinux3,
}

impl OsSku {
    /// The word of AKS.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ubuntu => "Ubuntu",
            Self::Ubuntu2204 => "Ubuntu2204",
            Self::Ubuntu2404 => "Ubuntu2404",
            Self::AzureLinux => "AzureLinux",
            Self::AzureLinux3 => "AzureLinux3",
        }
    }
}

/// Places of a system disk.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OsDiskType {
    /// A disk in the network, which is paid for.
    Managed,
    /// A local disk of the machine, which comes with it.
    Ephemeral,
}

/// Installation of the GPU driver.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuDriver {
    /// The cloud installs it.
    Install,
    /// Another program installs it.
    None,
}

/// Partitions of a GPU.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the profile it is named after")]
pub enum GpuInstanceProfile {
    MIG1g,
    MIG2g,
    MIG3g,
    MIG4g,
    MIG7g,
}

impl GpuInstanceProfile {
    /// The word of AKS.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MIG1g => "MIG1g",
            Self::MIG2g => "MIG2g",
            Self::MIG3g => "MIG3g",
            Self::MIG4g => "MIG4g",
            Self::MIG7g => "MIG7g",
        }
    }
}
