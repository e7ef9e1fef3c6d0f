//! The phase of a claim's life. Distinguishes the phases and decides nothing within them.

use k8s_openapi::api::core::v1::Node;
use kaito_api::labels::TERMINATION_FINALIZER;
use kube::ResourceExt as _;

use crate::context::PlanContext;
use crate::outdated::{self, Outdated};
use crate::repair::{self, Unhealthy};
use crate::{managed, node_deletion, spot};

/// A phase of a claim's life.
pub(crate) enum Phase<'a> {
    /// Not managed by us, or deleted and already released.
    NotManaged,
    /// Live, without our finalizer.
    Unprotected,
    /// Live.
    Live,
    /// Live, but its Node is being deleted.
    NodeDeleted(&'a Node),
    /// Live, but the cloud is about to take its Node back.
    Reclaimed(&'a Node),
    /// Live, but its Node is unhealthy and is replaced now.
    Unhealthy(Box<Unhealthy<'a>>),
    /// Live, but its node is outdated and is replaced now.
    Outdated(Outdated<'a>),
    /// Being deleted.
    Terminating,
}

/// Returns the phase of the observed claim.
pub(crate) fn of<'a>(context: &PlanContext<'a>) -> Phase<'a> {
    let claim = context.claim;
    let protected = claim.finalizers().iter().any(|f| f == TERMINATION_FINALIZER);
    let deleting = claim.metadata().deletion_timestamp.is_some();
    match (managed::is_managed(claim), deleting, protected) {
        (false, _, _) | (true, true, false) => Phase::NotManaged,
        (true, true, true) => Phase::Terminating,
        // Whatever happens to the Node, the instance is not ours to give up.
        (true, false, true) if context.cluster_conflict.is_some() => Phase::Live,
        // Another claim owns the instance of this name: there is nothing to protect, and no Node to lose.
        (true, false, _) if context.has_name_conflict => Phase::Live,
        (true, false, false) => Phase::Unprotected,
        (true, false, true) => live(context),
    }
}

fn live<'a>(context: &PlanContext<'a>) -> Phase<'a> {
    if let Some(node) = spot::announced(context) {
        return Phase::Reclaimed(node);
    }
    if let Some(node) = node_deletion::deleted_node(context) {
        return Phase::NodeDeleted(node);
    }
    if let Some(unhealthy) = repair::granted(context) {
        return Phase::Unhealthy(Box::new(unhealthy));
    }
    outdated::granted(context).map_or(Phase::Live, Phase::Outdated)
}
