//! In which phase of its life a Machine is. Only tells phases apart; decides nothing in them.

use k8s_openapi::api::core::v1::Node;
use kaito_api::labels::TERMINATION_FINALIZER;
use kube::ResourceExt as _;

use crate::ctx::Ctx;
use crate::{managed, node_deletion};

/// A phase of a Machine's life.
pub(crate) enum Phase<'a> {
    /// Not managed by us, or deleted and already released.
    NotOurs,
    /// Live without our finalizer: it is stored before anything is launched.
    Unprotected,
    /// Being deleted.
    Terminating,
    /// Live, but somebody has deleted its Node.
    NodeDeleted(&'a Node),
    /// Live.
    Live,
}

/// The phase of the observed Machine.
pub(crate) fn of<'a>(ctx: &Ctx<'a>) -> Phase<'a> {
    let protected = ctx
        .machine
        .finalizers()
        .iter()
        .any(|f| f == TERMINATION_FINALIZER);
    let deleting = ctx.machine.metadata.deletion_timestamp.is_some();
    match (managed::is_managed(ctx.machine), deleting, protected) {
        (false, _, _) | (true, true, false) => Phase::NotOurs,
        (true, true, true) => Phase::Terminating,
        (true, false, false) => Phase::Unprotected,
        (true, false, true) => match node_deletion::deleted_node(ctx) {
            Some(node) => Phase::NodeDeleted(node),
            None => Phase::Live,
        },
    }
}
