//! Settings that all workloads of one installation share.

use k8s_openapi::api::core::v1::Taint;

use crate::downloads::Downloads;
use crate::images::Images;
use crate::outgoing::Outgoing;

/// The installation for which a workload is rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// Images of our containers.
    pub images: Images,
    /// Allowed sources of downloads.
    pub downloads: Downloads,
    /// Proxies and authorities of the connections that pods open.
    pub outgoing: Outgoing,
    /// True if nodes are created for one Workspace and carry its name; false for the user's own nodes.
    pub claimed: bool,
    /// True if nodes may carry the AKS taint of spot machines.
    pub aks: bool,
    /// True if kubelets mount images as volumes.
    pub image_volumes: bool,
    /// Taints of all nodes that are created, which the administrator adds.
    pub node_taints: Vec<Taint>,
    /// Separation of the Workspaces from each other.
    pub isolation: Isolation,
}

/// Separation of the Workspaces from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Taint the nodes that are created for a Workspace. Only pods that tolerate its UID are scheduled there.
    pub taint: bool,
    /// Require a label that no kubelet may set, so that a Node cannot attract the pods of another Workspace. The
    /// provisioner must set it.
    pub restricted_label: bool,
    /// Close all ports of model pods except the API's, apart from traffic within a Workspace.
    pub network_policy: bool,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            taint: true,
            restricted_label: true,
            network_policy: true,
        }
    }
}
