//! What is known of a claim, its Node and its pool, read from stores and the cloud's snapshot alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{Claim, labels};
use kube::ResourceExt as _;
use nodeclaim_plan::Observed;
use operator_runtime::Index;

use crate::claims::Claims;
use crate::pools::Pools;

/// Stores of everything a decision about a claim looks at.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Claims of both kinds.
    pub claims: Claims,
    /// Nodes by [`pool_names`].
    pub nodes_by_pool: Index<Node>,
    /// Nodes by provider id.
    pub nodes_by_provider_id: Index<Node>,
    /// Pods by the node they are bound to.
    pub pods_by_node: Index<Pod>,
    /// Volume attachments by node.
    pub attachments_by_node: Index<VolumeAttachment>,
}

impl Stores {
    /// Everything about one claim.
    #[must_use]
    pub fn observe(&self, claim: Claim, pools: &Pools, now: Timestamp) -> Observed {
        let name = claim.name();
        let nodes = self.nodes(&claim, name);
        let leaving = claim.metadata().deletion_timestamp.is_some()
            || nodes
                .iter()
                .any(|node| node.metadata.deletion_timestamp.is_some());
        let (pods, attachments) = if leaving {
            self.guests(&nodes)
        } else {
            (Vec::new(), Vec::new())
        };
        let yields = self.claims.yields(&claim);
        let facts = if yields {
            pools.view_of_other(name)
        } else {
            pools.view(name, claim.uid(), now)
        };
        Observed {
            pool: facts.lookup,
            last_call: facts.last_call,
            failure: facts.failure,
            nodes,
            pods,
            attachments,
            yields,
            claim,
        }
    }

    fn nodes(&self, claim: &Claim, name: &str) -> Vec<Arc<Node>> {
        let provider_id = Some(claim.provider_id()).filter(|id| !id.is_empty());
        let by_id = provider_id
            .map(|id| self.nodes_by_provider_id.get(id))
            .unwrap_or_default();
        let all: BTreeMap<String, Arc<Node>> = self
            .nodes_by_pool
            .get(name)
            .into_iter()
            .chain(by_id)
            .map(|node| (node.name_any(), node))
            .collect();
        all.into_values().collect()
    }

    fn guests(&self, nodes: &[Arc<Node>]) -> (Vec<Arc<Pod>>, Vec<Arc<VolumeAttachment>>) {
        let names = || nodes.iter().map(|node| node.name_any());
        (
            names().flat_map(|name| self.pods_by_node.get(&name)).collect(),
            names()
                .flat_map(|name| self.attachments_by_node.get(&name))
                .collect(),
        )
    }
}

/// The agent pools that a Node's labels name: one, in both spellings.
#[must_use]
pub fn pool_names(node: &Node) -> Vec<String> {
    let labels = node.labels();
    let mut names: Vec<String> = [labels::AGENT_POOL, labels::AKS_AGENT_POOL]
        .iter()
        .filter_map(|key| labels.get(*key).cloned())
        .collect();
    names.dedup();
    names
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
