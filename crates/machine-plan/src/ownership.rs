//! Whether a pool or a Node is this Machine's. The only place that says so: a pool that fails this test is
//! neither changed nor deleted.

use cloudprovider::{AgentPool, Ownership, PoolLookup};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Machine;
use kaito_api::labels::{RAG_ENGINE, TERMINATION_FINALIZER, WORKSPACE, WORKSPACE_NAMESPACE};
use kube::ResourceExt as _;

use crate::Settings;

/// The pool of the Machine's name, from the Machine's point of view.
#[derive(Clone, Copy)]
pub(crate) enum View<'a> {
    /// Not known; never to be read as absent.
    Unknown,
    /// Missed by this many live reads.
    Absent(u32),
    /// There, and this Machine's.
    Ours(&'a AgentPool),
    /// There, and somebody else's.
    Taken(&'a AgentPool),
}

/// Looks at the pool with the Machine's eyes.
pub(crate) fn view<'a>(lookup: &'a PoolLookup, machine: &Machine, settings: &Settings) -> View<'a> {
    match lookup {
        PoolLookup::Unknown | PoolLookup::Absent { reads: 0 } => View::Unknown,
        PoolLookup::Absent { reads } => View::Absent(*reads),
        PoolLookup::Found(pool) if is_own_pool(pool, machine, settings) => View::Ours(pool),
        PoolLookup::Found(pool) => View::Taken(pool),
    }
}

fn is_own_pool(pool: &AgentPool, machine: &Machine, settings: &Settings) -> bool {
    if pool.name != machine.name_any() {
        return false;
    }
    match pool.ownership() {
        Ownership::Foreign => false,
        Ownership::Upstream => has_same_owner(pool, machine),
        Ownership::Ours { claim_uid } => {
            let uid = machine.metadata.uid.as_deref().unwrap_or_default();
            !uid.is_empty() && uid == claim_uid && may_be_of_cluster(pool, settings)
        }
    }
}

// The UID already tells clusters apart, so a pool made before the id was configured stays ours.
fn may_be_of_cluster(pool: &AgentPool, settings: &Settings) -> bool {
    settings.cluster_id.is_empty() || pool.cluster_id().is_none_or(|id| id == settings.cluster_id)
}

/// An upstream-made pool carries no UID: the Workspace of its label must be the Machine's.
fn has_same_owner(pool: &AgentPool, machine: &Machine) -> bool {
    let theirs = &pool.labels;
    let own = machine.labels();
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

/// UID of the Machine that a Node names as its owner.
pub(crate) fn owner_uid(node: &Node) -> Option<&str> {
    node.owner_references()
        .iter()
        .find(|owner| owner.kind == "Machine")
        .map(|owner| owner.uid.as_str())
}

/// Whether a Node was joined to this Machine: it names it as owner, or it bears the provider id that the
/// Machine was launched with and our finalizer.
pub(crate) fn is_own_node(node: &Node, machine: &Machine) -> bool {
    match owner_uid(node) {
        Some(uid) => machine.metadata.uid.as_deref() == Some(uid),
        None => has_finalizer(node) && is_recorded(node, machine),
    }
}

/// Whether the Machine's status names the instance of this Node.
pub(crate) fn is_recorded(node: &Node, machine: &Machine) -> bool {
    let recorded = machine
        .status
        .as_ref()
        .map(|status| status.provider_id.as_str())
        .unwrap_or_default();
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
