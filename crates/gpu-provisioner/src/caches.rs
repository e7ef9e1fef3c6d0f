//! The program's caches as a [`Source`] for `nodeclaim_plan::observe`, and the keys of their indexes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{Claim, KaitoNodeClass};
use kube::ResourceExt as _;
use nodeclaim_plan::Source;
use nodeclaim_plan::observe::is_of_fleet;
use operator_runtime::{Cache, Index, Key};

use crate::claims::Claims;

/// Caches of every kind that a plan for a claim looks at.
#[derive(Clone, Debug)]
pub(crate) struct CacheSource {
    /// Claims of both kinds.
    pub(crate) claims: Claims,
    /// Node classes; empty while their definition is not installed.
    pub(crate) classes: Cache<KaitoNodeClass>,
    /// Nodes by the instance that their labels name.
    pub(crate) nodes_by_instance: Index<Node>,
    /// Nodes by [`provider_id`].
    pub(crate) nodes_by_provider_id: Index<Node>,
    /// Pods by [`node_of_pod`].
    pub(crate) pods_by_node: Index<Pod>,
    /// Volume attachments by node.
    pub(crate) attachments_by_node: Index<VolumeAttachment>,
}

impl Source for CacheSource {
    fn claims(&self, name: &str) -> Vec<Claim> {
        self.claims.named(name)
    }

    fn nodes_of_instance(&self, name: &str) -> Vec<Arc<Node>> {
        self.nodes_by_instance.get(name)
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

    fn node_class(&self, name: &str) -> Option<Arc<KaitoNodeClass>> {
        self.classes.get(&Key::cluster(name))
    }

    fn node_classes(&self) -> Vec<String> {
        self.classes.all().iter().map(|class| class.name_any()).collect()
    }

    fn fleet(&self) -> Vec<Claim> {
        let mut all = self.claims.all();
        all.retain(is_of_fleet);
        all
    }
}

/// The provider id of a Node.
pub(crate) fn provider_id(node: &Node) -> Vec<String> {
    let spec = node.spec.iter();
    spec.filter_map(|spec| spec.provider_id.clone()).collect()
}

/// The node that a pod is bound to.
pub(crate) fn node_of_pod(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.iter();
    spec.filter_map(|spec| spec.node_name.clone()).collect()
}
