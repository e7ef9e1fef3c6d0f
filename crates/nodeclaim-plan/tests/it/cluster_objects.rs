//! A cluster as `observe` reads it: claims and their Nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudprovider::{Instance, InstanceState};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{Claim, KaitoNodeClass};
use nodeclaim_plan::Source;

use crate::fixtures::{instance, ours};

/// Objects of a cluster.
#[derive(Default)]
pub(crate) struct ClusterObjects {
    /// All claims; they are the fleet.
    pub(crate) claims: Vec<Claim>,
    /// Nodes by the name of their instance.
    pub(crate) nodes: BTreeMap<String, Node>,
}

impl ClusterObjects {
    /// The complete instances of all claims.
    pub(crate) fn instances(&self) -> Vec<Instance> {
        self.claims
            .iter()
            .map(|claim| instance_of(claim.name()))
            .collect()
    }
}

impl Source for ClusterObjects {
    fn claims(&self, name: &str) -> Vec<Claim> {
        let named = self.claims.iter().filter(|claim| claim.name() == name);
        named.cloned().collect()
    }

    fn nodes_of_instance(&self, name: &str) -> Vec<Arc<Node>> {
        self.nodes.get(name).cloned().map(Arc::new).into_iter().collect()
    }

    fn nodes_with_provider_id(&self, _: &str) -> Vec<Arc<Node>> {
        Vec::new()
    }

    fn pods_on(&self, _: &str) -> Vec<Arc<Pod>> {
        Vec::new()
    }

    fn attachments_of(&self, _: &str) -> Vec<Arc<VolumeAttachment>> {
        Vec::new()
    }

    fn node_classes(&self) -> Vec<String> {
        Vec::new()
    }

    fn node_class(&self, _: &str) -> Option<Arc<KaitoNodeClass>> {
        None
    }

    fn fleet(&self) -> Vec<Claim> {
        self.claims.clone()
    }
}

/// The complete instance of a claim with the UID `uid-<name>`.
pub(crate) fn instance_of(name: &str) -> Instance {
    Instance {
        name: name.into(),
        owner: ours(&format!("uid-{name}")),
        ..instance(InstanceState::Succeeded)
    }
}
