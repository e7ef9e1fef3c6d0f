//! Which claims and Nodes are ours to act on. Everything else is invisible to us.
//!
//! NodeClaims are told by their class: one that names the class of a Karpenter is that Karpenter's, whatever its labels.

use k8s_openapi::api::core::v1::Node;
use kaito_api::labels::{KAITO_NODE_CLASS, RAG_ENGINE, WORKSPACE};
use kaito_api::{Claim, ClaimKind};
use kube::ResourceExt as _;

/// Whether a Machine belongs to a Workspace or a RAG engine, or a NodeClaim is of the class that gpu-provisioners answer.
/// A NodeClaim of no class at all, as older definitions allowed, is told by its labels like a Machine.
#[must_use]
pub fn is_managed(claim: &Claim) -> bool {
    match claim.node_class() {
        Some(class) if !class.group.is_empty() => class.is_kaito(),
        _ => is_marked(claim.labels()),
    }
}

/// Whether a Node belongs to a claim that is managed. A Karpenter's Nodes bear the same finalizer and, where a Workspace
/// asked for them, the same labels; they are owned by NodeClaims and labelled with another class.
#[must_use]
pub fn is_managed_node(node: &Node) -> bool {
    let of_node_claim = node
        .owner_references()
        .iter()
        .any(|owner| owner.kind == ClaimKind::NodeClaim.as_str());
    node.labels().contains_key(KAITO_NODE_CLASS) || (!of_node_claim && is_marked(node.labels()))
}

/// Whether a claim leaves the agent pool of its name to another claim: to a managed one of the other kind and the same
/// name that was made before it.
#[must_use]
pub fn yields_to(claim: &Claim, other: &Claim) -> bool {
    let born = |claim: &Claim| claim.metadata().creation_timestamp.as_ref().map(|time| time.0);
    let rank = |claim: &Claim| (born(claim), claim.claim_kind());
    let rivals = claim.name() == other.name() && claim.claim_kind() != other.claim_kind();
    rivals && is_managed(other) && rank(other) < rank(claim)
}

fn is_marked(labels: &std::collections::BTreeMap<String, String>) -> bool {
    [WORKSPACE, RAG_ENGINE]
        .iter()
        .any(|key| labels.contains_key(*key))
}
