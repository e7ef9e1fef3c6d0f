//! GPUs and memory of one node.

use instance_types::InstanceType;

/// Share of a node's memory that pods may use, in percent: AKS reserves at most a quarter.
/// Source: <https://learn.microsoft.com/azure/aks/node-resource-reservations>.
pub(crate) const HOST_AVAILABLE_PERCENT: u64 = 75;

/// Bytes of a node's memory that pods may use; `None` if unknown.
#[must_use]
pub fn host_bytes(instance_type: &InstanceType) -> Option<u64> {
    let total = u64::from(instance_type.memory_gib?) << 30;
    Some(total / 100 * HOST_AVAILABLE_PERCENT)
}

/// GPUs and memory of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GpuNode {
    /// Number of NVIDIA GPUs of the node.
    pub gpus: u32,
    /// GPU memory of the node in bytes, for all GPUs together.
    pub memory_bytes_total: u64,
    /// Memory of the node that pods may use, in bytes; `None` if unknown. It holds the model where there is no GPU.
    pub host_bytes: Option<u64>,
}

impl GpuNode {
    /// A node without a usable GPU, whose memory is not known.
    pub const CPU_ONLY: Self = Self {
        gpus: 0,
        memory_bytes_total: 0,
        host_bytes: None,
    };

    /// Returns the memory of one GPU in bytes; 0 without a GPU.
    #[must_use]
    pub fn memory_bytes_each(self) -> u64 {
        self.memory_bytes_total
            .checked_div(u64::from(self.gpus))
            .unwrap_or(0)
    }
}

impl From<&InstanceType> for GpuNode {
    /// Accelerators of other vendors do not count, because no engine here can use them.
    fn from(instance_type: &InstanceType) -> Self {
        let gpus = instance_type.nvidia_gpus();
        Self {
            gpus,
            memory_bytes_total: u64::from(gpus) * instance_type.gpu_memory_bytes_each(),
            host_bytes: host_bytes(instance_type),
        }
    }
}
