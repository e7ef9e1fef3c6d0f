//! The GPUs of one node.

use instance_types::InstanceType;

/// The GPUs of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GpuNode {
    /// Number of NVIDIA GPUs of the node.
    pub gpus: u32,
    /// GPU memory of the node in bytes, for all GPUs together.
    pub memory_bytes_total: u64,
}

impl GpuNode {
    /// A node without a usable GPU.
    pub const CPU_ONLY: Self = Self {
        gpus: 0,
        memory_bytes_total: 0,
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
        }
    }
}
