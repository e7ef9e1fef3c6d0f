//! Whether a pool or a Node is this claim's. The only place that says so: a pool that fails this test is
//! neither changed nor deleted.

use cloudprovider::{AgentPool, Ownership, PoolLookup};
use k8s_openapi::api::core::v1::Node;
use kaito_api::labels::{RAG_ENGINE, TERMINATION_FINALIZER, WORKSPACE, WORKSPACE_NAMESPACE};
use kaito_api::{Claim, ClaimKind};
use kube::ResourceExt as _;

use crate::settings::Settings;

/// The pool of the claim's name, from the claim's point of view.
#[derive(Clone, Copy)]
pub(crate) enum View<'a> {
    /// Not known; never to be read as absent.
    Unknown,
    /// Missed by this many live reads.
    Absent(u32),
    /// There, and this claim's.
    Ours(&'a AgentPool),
    /// There, and somebody else's.
    Taken(&'a AgentPool),
}

/// Looks at the pool with the claim's eyes.
pub(crate) fn view<'a>(lookup: &'a PoolLookup, claim: &Claim, settings: &Settings) -> View<'a> {
    match lookup {
        PoolLookup::Unknown | PoolLookup::Absent { reads: 0 } => View::Unknown,
        PoolLookup::Absent { reads } => View::Absent(*reads),
        PoolLookup::Found(pool) if is_own_pool(pool, claim, settings) => View::Ours(pool),
        PoolLookup::Found(pool) => View::Taken(pool),
    }
}

fn is_own_pool(pool: &AgentPool, claim: &Claim, settings: &Settings) -> bool {
    if pool.name != claim.name_any() {
        return false;
    }
    match pool.ownership() {
        Ownership::Foreign => false,
        Ownership::Upstream => has_same_owner(pool, claim),
        Ownership::Ours { claim_uid } => {
            let uid = claim.uid();
            !uid.is_empty() && uid == claim_uid && may_be_of_cluster(pool, settings)
        }
    }
}

// The UID already tells clusters apart, so a pool made before the id was configured stays ours.
fn may_be_of_cluster(pool: &AgentPool, settings: &Settings) -> bool {
    settings.cluster_id.is_empty() || pool.cluster_id().is_none_or(|id| id == settings.cluster_id)
}

/// An upstream-made pool carries no UID: the Workspace of its label must be the claim's.
fn has_same_owner(pool: &AgentPool, claim: &Claim) -> bool {
    let theirs = &pool.labels;
    let own = claim.labels();
    let agrees = |key: &str| match (theirs.get(key), own.get(key)) {
        (Some(theirs), Some(own)) => theirs == own,
        _ => true,
    };
    let shared = |key: &str| theirs.get(key).is_some_and(|value| own.get(key) == Some(value));
    (shared(WORKSPACE) || shared(RAG_ENGINE))
        && [
            WORKSPACE,
            RAG_ENGINE,
            WORKSPACE_NAMESPACE,
            "kaito.sh/ragenginenamespace",
        ]
        .into_iter()
        .all(agrees)
}

/// UID of the claim that a Node names as its owner.
pub(crate) fn owner_uid(node: &Node) -> Option<&str> {
    node.owner_references()
        .iter()
        .find(|owner| ClaimKind::ALL.iter().any(|kind| owner.kind == kind.as_str()))
        .map(|owner| owner.uid.as_str())
}

/// Whether a Node was joined to this claim: it names it as owner, or it bears the provider id that the
/// claim was launched with and our finalizer.
pub(crate) fn is_own_node(node: &Node, claim: &Claim) -> bool {
    match owner_uid(node) {
        Some(uid) => claim.metadata().uid.as_deref() == Some(uid),
        None => has_finalizer(node) && is_recorded(node, claim),
    }
}

/// Whether the claim's status names the instance of this Node.
pub(crate) fn is_recorded(node: &Node, claim: &Claim) -> bool {
    let recorded = claim.provider_id();
    !recorded.is_empty() && provider_id(node) == Some(recorded)
}

/// Whether a Node carries our finalizer.
pub(crate) fn has_finalizer(node: &Node) -> bool {
    node.finalizers().iter().any(|f| f == TERMINATION_FINALIZER)
}

/// Provider id of a Node, when it has one.
pub(crate) fn provider_id(node: &Node) -> Option<&str> {
    node.spec
        .as_ref()?
        .provider_id
        .as_deref()
        .filter(|id| !id.is_empty())
}
