//! The program's caches as a [`Source`] for `nodeclaim_plan::observe`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::Claim;
use nodeclaim_plan::Source;
use operator_runtime::Index;

use crate::claims::Claims;

/// Stores of everything a decision about a claim looks at.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Claims of both kinds.
    pub claims: Claims,
    /// Nodes by the instance that their labels name.
    pub nodes_by_pool: Index<Node>,
    /// Nodes by provider id.
    pub nodes_by_provider_id: Index<Node>,
    /// Pods by the node they are bound to.
    pub pods_by_node: Index<Pod>,
    /// Volume attachments by node.
    pub attachments_by_node: Index<VolumeAttachment>,
}

impl Source for Stores {
    fn claims(&self, name: &str) -> Vec<Claim> {
        self.claims.named(name)
    }

    fn nodes_of_instance(&self, name: &str) -> Vec<Arc<Node>> {
        self.nodes_by_pool.get(name)
    }

    fn nodes_with_provider_id(&self, provider_id: &str) -> Vec<Arc<Node>> {
        self.nodes_by_provider_id.get(provider_id)
    }

    fn pods_on(&self, node: &str) -> Vec<Arc<Pod>> {
        self.pods_by_node.get(node)
    }

    fn attachments_of(&self, node: &str) -> Vec<Arc<VolumeAttachment>> {
        self.attachments_by_node.get(node)
    }
}

/// The provider id of a Node.
#[must_use]
pub fn provider_id(node: &Node) -> Vec<String> {
    node.spec
        .iter()
        .filter_map(|spec| spec.provider_id.clone())
        .collect()
}

/// The node a pod is bound to.
#[must_use]
pub fn node_of_pod(pod: &Pod) -> Vec<String> {
    pod.spec
        .iter()
        .filter_map(|spec| spec.node_name.clone())
        .collect()
}
