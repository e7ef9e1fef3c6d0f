//! In which phase of its life a claim is. Only tells phases apart; decides nothing in them.

use k8s_openapi::api::core::v1::Node;
use kaito_api::labels::TERMINATION_FINALIZER;
use kube::ResourceExt as _;

use crate::context::Ctx;
use crate::managed;
use crate::node::deletion;

/// A phase of a claim's life.
pub(crate) enum Phase<'a> {
    /// Not managed by us, or deleted and already released.
    NotOurs,
    /// Live without our finalizer: it is stored before anything is launched.
    Unprotected,
    /// Live, and of the same name as another claim that was there first.
    Yielding,
    /// Being deleted.
    Terminating,
    /// Live, but somebody has deleted its Node.
    NodeDeleted(&'a Node),
    /// Live.
    Live,
}

/// The phase of the observed claim.
pub(crate) fn of<'a>(ctx: &Ctx<'a>) -> Phase<'a> {
    let protected = ctx.claim.finalizers().iter().any(|f| f == TERMINATION_FINALIZER);
    let deleting = ctx.claim.metadata().deletion_timestamp.is_some();
    match (managed::is_managed(ctx.claim), deleting, protected) {
        (false, _, _) | (true, true, false) => Phase::NotOurs,
        (true, true, true) => Phase::Terminating,
        (true, false, _) if ctx.yields => Phase::Yielding,
        (true, false, false) => Phase::Unprotected,
        (true, false, true) => match deletion::deleted_node(ctx) {
            Some(node) => Phase::NodeDeleted(node),
            None => Phase::Live,
        },
    }
}
