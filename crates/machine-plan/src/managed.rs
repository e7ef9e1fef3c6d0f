//! Which Machines and Nodes are ours to act on. Everything else is invisible to us.

use k8s_openapi::api::core::v1::Node;
use kaito_api::Machine;
use kaito_api::labels::{RAG_ENGINE, WORKSPACE};
use kube::ResourceExt as _;

/// Whether a Machine belongs to a Workspace or a RAG engine.
#[must_use]
pub fn is_managed(machine: &Machine) -> bool {
    is_marked(machine.labels())
}

/// Whether a Node belongs to a Workspace or a RAG engine.
#[must_use]
pub fn is_managed_node(node: &Node) -> bool {
    is_marked(node.labels())
}

fn is_marked(labels: &std::collections::BTreeMap<String, String>) -> bool {
    [WORKSPACE, RAG_ENGINE]
        .iter()
        .any(|key| labels.contains_key(*key))
}
