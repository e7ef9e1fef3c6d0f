//! Hardware of the nodes of a workload, as far as manifests depend on it.

use instance_types::{ComputeCapability, InstanceType};
use preset_catalog::estimate::GpuNode;

use crate::canonical;

/// The hardware of each node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// The cloud's instance type; empty for the user's own nodes.
    pub instance_type: String,
    /// NVIDIA GPUs, their memory, and the memory of the node.
    pub gpu: GpuNode,
    /// True if the node has an accelerator of any vendor.
    pub accelerated: bool,
    /// Product name of the accelerator; empty if there is none or it is unknown.
    pub gpu_model: String,
    /// CUDA compute capability of the GPUs; `None` if there are none or it is unknown.
    pub compute_capability: Option<ComputeCapability>,
    /// True if the GPUs compute in bfloat16; assumed if unknown.
    pub bfloat16: bool,
}

impl Hardware {
    /// A node without accelerators.
    #[must_use]
    pub fn cpu(instance_type: &str) -> Self {
        Self {
            instance_type: instance_type.to_owned(),
            gpu: GpuNode::CPU_ONLY,
            accelerated: false,
            gpu_model: String::new(),
            compute_capability: None,
            bfloat16: true,
        }
    }

    /// Returns the hardware for a container that may use this much memory; `None` is all that the node has.
    #[must_use]
    pub fn with_memory_limit(mut self, limit: Option<&str>) -> Self {
        let limit = limit.and_then(canonical::bytes);
        let available = self.gpu.host_bytes;
        self.gpu.host_bytes = limit
            .map(|limit| available.map_or(limit, |bytes| bytes.min(limit)))
            .or(available);
        self
    }
}

impl From<&InstanceType> for Hardware {
    fn from(instance_type: &InstanceType) -> Self {
        Self {
            instance_type: instance_type.name.clone(),
            gpu: GpuNode::from(instance_type),
            accelerated: instance_type.gpus > 0,
            gpu_model: instance_type.gpu_model.clone().unwrap_or_default(),
            compute_capability: instance_type.compute_capability,
            bfloat16: instance_type.compute_capability.is_none() || instance_type.supports_bfloat16(),
        }
    }
}
