//! Joining the Node to its claim: finalizer, owner, labels, taints. Decides what the Node must hold; whether
//! that is a write is the edit's business.

use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::labels::{
    DO_NOT_DISRUPT, KAITO_NODE_CLASS, NODE_IMAGE_FAMILY, REGISTERED, UNREGISTERED_TAINT,
};
use kube::ResourceExt as _;

use crate::node::edit::NodeEdit;

/// Annotations of a claim that mean something on its Node.
const COPIED: [&str; 2] = [DO_NOT_DISRUPT, NODE_IMAGE_FAMILY];
/// Label by which a Node refuses its claim's taints.
const DO_NOT_SYNC_TAINTS: &str = "karpenter.sh/do-not-sync-taints";

/// Makes the Node the claim's.
pub(crate) fn register(claim: &Claim, node: &Node, edit: &mut NodeEdit<'_>) {
    edit.protect();
    edit.own(claim);
    for (key, value) in claim.labels() {
        if !(is_kubelets(key) && node.labels().contains_key(key)) {
            edit.label(key, value);
        }
    }
    if let Some(class) = claim.node_class() {
        edit.label(KAITO_NODE_CLASS, &class.name);
    }
    for key in COPIED {
        if let Some(value) = claim.annotations().get(key) {
            edit.annotate(key, value);
        }
    }
    sync_taints(claim, node, edit);
    edit.label(REGISTERED, "true");
}

/// Only once: a start-up taint that its agent has removed must not come back.
fn sync_taints(claim: &Claim, node: &Node, edit: &mut NodeEdit<'_>) {
    let has = |key: &str| node.labels().get(key).is_some_and(|value| value == "true");
    if !has(REGISTERED) && !has(DO_NOT_SYNC_TAINTS) {
        for taint in claim.taints().iter().chain(claim.startup_taints()) {
            edit.taint(taint);
        }
    }
    edit.untaint(UNREGISTERED_TAINT);
}

/// Labels of these domains are the kubelet's or the cloud's: fighting over them would never end.
pub(crate) fn is_kubelets(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["kubernetes.io", "k8s.io", "kubernetes.azure.com"]
        .iter()
        .any(|owned| domain == *owned || domain.strip_suffix(owned).is_some_and(|rest| rest.ends_with('.')))
}
