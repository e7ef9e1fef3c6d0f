//! Settings that all workloads of one installation share.

use crate::downloads::Downloads;
use crate::images::Images;

/// The installation for which a workload is rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// Images of our containers.
    pub images: Images,
    /// Allowed sources of downloads.
    pub downloads: Downloads,
    /// True if nodes are created for one Workspace and carry its name; false for the user's own nodes.
    pub claimed: bool,
    /// True if nodes may carry the AKS taint of spot machines.
    pub aks: bool,
}
