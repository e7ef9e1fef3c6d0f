//! Resources of a node, by instance type.

use instance_types::{Catalog, Cloud};

/// Capacity of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) cpus: u32,
    pub(crate) memory_gib: u32,
    /// NVIDIA GPUs.
    pub(crate) gpus: u32,
}

/// Resources of a size that the catalog does not know: those of a general-purpose machine.
const UNKNOWN: Capacity = Capacity {
    cpus: 4,
    memory_gib: 16,
    gpus: 0,
};

/// Looks an instance type up.
pub(super) fn of(types: &Catalog, vm_size: &str) -> Capacity {
    let known = types.lookup(Cloud::Azure, vm_size);
    known.map_or(UNKNOWN, |size| Capacity {
        cpus: size.vcpus.unwrap_or(UNKNOWN.cpus),
        memory_gib: size.memory_gib.unwrap_or(UNKNOWN.memory_gib),
        gpus: size.nvidia_gpus(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_those_of_the_catalog() {
        for (size, gpus) in [
            ("Standard_NC6s_v3", 1),
            ("Standard_NC12s_v3", 2),
            ("Standard_NC24s_v3", 4),
            ("Standard_NC24ads_A100_v4", 1),
            ("standard_nc48ads_a100_v4", 2),
            ("Standard_NC96ads_A100_v4", 4),
            ("Standard_ND96isr_H100_v5", 8),
            ("Standard_NV36ads_A10_v5", 1),
            ("Standard_NV72ads_A10_v5", 2),
            ("Standard_NC40ads_H100_v5", 1),
            ("Standard_NC80adis_H100_v5", 2),
            ("Standard_D4s_v5", 0),
        ] {
            assert_eq!(of(Catalog::embedded().unwrap(), size).gpus, gpus, "{size}");
        }
    }
}
