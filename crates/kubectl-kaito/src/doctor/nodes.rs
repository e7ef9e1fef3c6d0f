//! Nodes without a claim, and GPU nodes that offer no GPU.

use instance_types::Vendor;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kaito_api::{Claim, labels};
use kube::ResourceExt as _;

use super::claims::is_ours;
use super::diagnosis::Diagnosis;
use super::facts::ClusterFacts;
use crate::money;

/// Finds such Nodes, and a missing device plugin.
pub(super) fn examine(facts: &ClusterFacts, now: Timestamp) -> Vec<Diagnosis> {
    let mut found: Vec<Diagnosis> = facts
        .nodes
        .iter()
        .filter_map(|node| orphaned(facts, node).or_else(|| without_gpu(facts, node)))
        .map(|(found, node)| found.since(created(node), now))
        .collect();
    found.extend(missing_plugin(facts));
    found
}

/// Returns true if one of our programs registered the Node for a claim.
pub(super) fn is_registered(node: &Node) -> bool {
    let marks = node.labels();
    let is_marked = [labels::WORKSPACE, labels::RAG_ENGINE, labels::KAITO_NODE_CLASS]
        .iter()
        .any(|key| marks.contains_key(*key));
    is_marked
        && node
            .finalizers()
            .iter()
            .any(|found| found == labels::TERMINATION_FINALIZER)
}

fn claim_of<'a>(facts: &'a ClusterFacts, node: &Node) -> Option<&'a Claim> {
    let name = node.name_any();
    let instance = labels::INSTANCE_NAME
        .iter()
        .find_map(|key| node.labels().get(*key));
    facts
        .claims
        .iter()
        .find(|claim| claim.node_name() == name || instance.is_some_and(|instance| claim.name() == instance))
}

fn orphaned<'a>(facts: &ClusterFacts, node: &'a Node) -> Option<(Diagnosis, &'a Node)> {
    if !is_registered(node) || claim_of(facts, node).is_some() {
        return None;
    }
    let instance = labels::INSTANCE_NAME
        .iter()
        .find_map(|key| node.labels().get(*key));
    let known = facts.fleet.iter().flat_map(|fleet| &fleet.instances);
    let is_listed = known.into_iter().any(|found| Some(&found.name) == instance);
    // An instance without a claim is a finding of its own, with the same price.
    let price = price(node).filter(|_| !is_listed);
    let message = match (is_listed, facts.fleet.is_some()) {
        (true, _) => "It has no claim, and its instance still exists.",
        (false, true) => "It has no claim, and the cloud has no instance of its name.",
        (false, false) => "It has no claim.",
    };
    let remedy =
        "gpu-provisioner lets it go once its instance is gone: check that it leads, and look at its log.";
    let found = Diagnosis::new("orphanedNode", subject(node), message.to_owned(), remedy);
    Some((found.costing(price), node))
}

fn without_gpu<'a>(facts: &ClusterFacts, node: &'a Node) -> Option<(Diagnosis, &'a Node)> {
    claim_of(facts, node).filter(|claim| is_ours(claim))?;
    let has_gpus = is_nvidia(node) && is_ready(node);
    if !has_gpus || gpus(node) {
        return None;
    }
    let message = "It has NVIDIA GPUs and offers none, so no model is started on it.".to_owned();
    let remedy = "Check that an NVIDIA device plugin runs on it and tolerates its taints sku=gpu and kaito.sh/workspace-uid.";
    let found = Diagnosis::new("noGpuOffered", subject(node), message, remedy);
    Some((found.costing(price(node)), node))
}

/// Without a device plugin the first GPU node would be paid for and not used.
fn missing_plugin(facts: &ClusterFacts) -> Option<Diagnosis> {
    let sets = facts.daemon_sets.as_ref()?;
    let is_plugin = |text: &str| {
        let text = text.to_lowercase();
        text.contains("gpu-operator") || (text.contains("nvidia") && text.contains("device-plugin"))
    };
    let has_plugin = sets.iter().any(|set| {
        let pod = set.spec.template.spec.as_ref();
        let containers = pod.into_iter().flat_map(|pod| &pod.containers);
        let mut images = containers.filter_map(|container| container.image.as_deref());
        is_plugin(&set.name_any()) || images.any(is_plugin)
    });
    if has_plugin || facts.nodes.iter().any(gpus) {
        return None;
    }
    Some(Diagnosis::new(
        "noDevicePlugin",
        "DaemonSet".to_owned(),
        "No DaemonSet looks like an NVIDIA device plugin, and no Node offers a GPU.".to_owned(),
        "Install the NVIDIA device plugin with tolerations for sku=gpu and kaito.sh/workspace-uid, or use node images that bring it.",
    ))
}

fn subject(node: &Node) -> String {
    format!("Node {}", node.name_any())
}

fn created(node: &Node) -> Option<Timestamp> {
    node.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn instance_type(node: &Node) -> Option<&String> {
    node.labels().get(labels::INSTANCE_TYPE)
}

fn price(node: &Node) -> Option<u64> {
    money::price_of(instance_type(node)?)
}

fn is_nvidia(node: &Node) -> bool {
    let found = instance_type(node).and_then(|name| money::instance_type(name));
    found.is_some_and(|found| found.vendor == Some(Vendor::Nvidia))
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|found| found.type_ == "Ready" && found.status == "True")
    })
}

fn gpus(node: &Node) -> bool {
    let offered = node
        .status
        .as_ref()
        .and_then(|status| status.allocatable.as_ref());
    let count = offered.and_then(|offered| offered.get(labels::NVIDIA_GPU));
    count.is_some_and(|count| count.0 != "0")
}
