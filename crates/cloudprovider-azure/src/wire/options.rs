//! Optional properties of a PUT that creates a pool.

use cloudprovider::{CapacityType, LaunchSpec, NodeOptions};
use serde::Serialize;

use crate::agent_pool;

/// A pool that Azure may take back. AKS labels and taints its nodes itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpotRequest {
    scale_set_priority: &'static str,
    /// The machine is deleted, so that a stopped one is not paid for.
    scale_set_eviction_policy: &'static str,
    /// At most the price of on-demand capacity.
    spot_max_price: i8,
}

impl SpotRequest {
    pub(super) fn of(spec: &LaunchSpec) -> Option<Self> {
        (spec.capacity_type == CapacityType::Spot).then_some(Self {
            scale_set_priority: agent_pool::SPOT,
            scale_set_eviction_policy: "Delete",
            spot_max_price: -1,
        })
    }
}

/// Properties that a node class chooses. AKS chooses what is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OptionsRequest<'a> {
    #[serde(rename = "vnetSubnetID", skip_serializing_if = "Option::is_none")]
    subnet: Option<&'a str>,
    #[serde(rename = "podSubnetID", skip_serializing_if = "Option::is_none")]
    pod_subnet: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_disk_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_profile: Option<GpuProfile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_instance_profile: Option<&'a str>,
    #[serde(rename = "enableFIPS", skip_serializing_if = "Option::is_none")]
    fips: Option<bool>,
    #[serde(rename = "enableEncryptionAtHost", skip_serializing_if = "Option::is_none")]
    encryption_at_host: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_pods: Option<u32>,
    #[serde(
        rename = "capacityReservationGroupID",
        skip_serializing_if = "Option::is_none"
    )]
    reservation: Option<&'a str>,
    #[serde(rename = "proximityPlacementGroupID", skip_serializing_if = "Option::is_none")]
    proximity_group: Option<&'a str>,
}

/// Installation of the GPU driver. Later versions of the API have more.
#[derive(Debug, Serialize)]
struct GpuProfile {
    driver: &'static str,
}

impl<'a> OptionsRequest<'a> {
    pub(super) fn of(options: &'a NodeOptions) -> Self {
        let driver = |installs| GpuProfile {
            driver: if installs { "Install" } else { "None" },
        };
        Self {
            subnet: options.subnet.as_deref(),
            pod_subnet: options.pod_subnet.as_deref(),
            os_disk_type: options
                .local_disk
                .map(|local| if local { "Ephemeral" } else { "Managed" }),
            gpu_profile: options.gpu_driver.map(driver),
            gpu_instance_profile: options.gpu_partition.as_deref(),
            fips: options.fips.then_some(true),
            encryption_at_host: options.encryption_at_host.then_some(true),
            max_pods: options.max_pods,
            reservation: options.reservation.as_deref(),
            proximity_group: options.proximity_group.as_deref(),
        }
    }
}
