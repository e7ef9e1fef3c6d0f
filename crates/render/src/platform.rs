//! What is the same for all workloads of one installation.

use crate::downloads::Downloads;
use crate::images::Images;

/// The installation that a workload is rendered for.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// Images of our containers.
    pub images: Images,
    /// What our containers may download.
    pub downloads: Downloads,
    /// Nodes are made for one Workspace and carry its name; false where nodes are brought along.
    pub claimed: bool,
    /// Nodes may carry AKS's taint of spot machines.
    pub aks: bool,
}
