//! Properties of an instance beyond its type, in words that an adapter passes on.

use serde::{Deserialize, Serialize};

/// Options of a launch. The cloud chooses those that are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOptions {
    /// Subnet of the node.
    pub subnet: Option<String>,
    /// Subnet of its pods.
    pub pod_subnet: Option<String>,
    /// Exact operating system, in the cloud's own word; it takes precedence over the image family.
    pub os: Option<String>,
    /// True for a system disk inside the machine, false for one in the network.
    pub local_disk: Option<bool>,
    /// False if another program installs the GPU driver.
    pub gpu_driver: Option<bool>,
    /// Partition of each GPU, in the cloud's own word.
    pub gpu_partition: Option<String>,
    /// An operating system that is validated by FIPS.
    pub fips: bool,
    /// Encryption on the host.
    pub encryption_at_host: bool,
    /// Most pods.
    pub max_pods: Option<u32>,
    /// Reservation from which the capacity type `reserved` is bought.
    pub reservation: Option<String>,
    /// Group of machines that stand close to each other.
    pub proximity_group: Option<String>,
}
