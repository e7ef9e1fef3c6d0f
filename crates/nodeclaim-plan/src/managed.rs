//! The claims and Nodes that are ours to act on. All others are invisible to us.
//!
//! The class of a NodeClaim decides. One that names the class of a Karpenter belongs to that Karpenter, whatever its labels.

use k8s_openapi::api::core::v1::Node;
use kaito_api::labels::{KAITO_NODE_CLASS, RAG_ENGINE, WORKSPACE};
use kaito_api::{Claim, ClaimKind};
use kube::ResourceExt as _;

/// Returns true if a Machine belongs to a Workspace or a RAG engine, or a NodeClaim has the class of gpu-provisioners.
///
/// Older definitions allowed a NodeClaim without a class; its labels decide, as those of a Machine do.
#[must_use]
pub fn is_managed(claim: &Claim) -> bool {
    match claim.node_class() {
        Some(class) if !class.group.is_empty() => class.is_kaito(),
        _ => is_marked(claim.labels()),
    }
}

/// Returns true if a Node belongs to a claim that is managed.
///
/// Nodes of a Karpenter have the same finalizer and, for a Workspace, the same labels. They are owned by NodeClaims and
/// labeled with another class.
#[must_use]
pub fn is_managed_node(node: &Node) -> bool {
    let of_node_claim = node
        .owner_references()
        .iter()
        .any(|owner| owner.kind == ClaimKind::NodeClaim.as_str());
    node.labels().contains_key(KAITO_NODE_CLASS) || (!of_node_claim && is_marked(node.labels()))
}

/// Returns true if the other claim owns the instance of this claim's name.
///
/// Such a claim is managed, has the same name and the other kind, and was created first.
#[must_use]
pub fn has_name_conflict(claim: &Claim, other: &Claim) -> bool {
    let created = |claim: &Claim| claim.metadata().creation_timestamp.as_ref().map(|time| time.0);
    let rank = |claim: &Claim| (created(claim), claim.claim_kind());
    let are_namesakes = claim.name() == other.name() && claim.claim_kind() != other.claim_kind();
    are_namesakes && is_managed(other) && rank(other) < rank(claim)
}

fn is_marked(labels: &std::collections::BTreeMap<String, String>) -> bool {
    [WORKSPACE, RAG_ENGINE]
        .iter()
        .any(|key| labels.contains_key(*key))
}
