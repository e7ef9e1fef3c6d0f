//! The claim that a Node was registered for.

use k8s_openapi::api::core::v1::Node;
use kaito_api::{Claim, ClaimKind};
use kube::ResourceExt as _;

use crate::node::facts::{has_finalizer, provider_id};

/// Returns the UID of the claim that a Node names as its owner.
pub(crate) fn owner_uid(node: &Node) -> Option<&str> {
    node.owner_references()
        .iter()
        .find(|owner| ClaimKind::ALL.iter().any(|kind| owner.kind == kind.as_str()))
        .map(|owner| owner.uid.as_str())
}

/// Returns true unless the Node names another claim as its owner.
pub(crate) fn may_own(claim: &Claim, node: &Node) -> bool {
    owner_uid(node).is_none_or(|uid| uid == claim.uid())
}

/// Returns the Nodes that were registered for this claim.
///
/// Such a Node names the claim as its owner. Without any owner it has our finalizer and the provider id of the claim's
/// status.
pub(crate) fn own_nodes<'a>(nodes: &[&'a Node], claim: &Claim) -> Vec<&'a Node> {
    let is_own = |node: &&Node| match owner_uid(node) {
        Some(uid) => claim.metadata().uid.as_deref() == Some(uid),
        None => has_finalizer(node) && is_recorded(node, claim),
    };
    nodes.iter().copied().filter(is_own).collect()
}

/// Returns true if the claim's status names the instance of this Node.
pub(crate) fn is_recorded(node: &Node, claim: &Claim) -> bool {
    let recorded = claim.provider_id();
    !recorded.is_empty() && provider_id(node) == Some(recorded)
}
