//! Registration: the Node gets the finalizer, owner, labels and taints of its claim. Decides what the Node must have; the
//! edit decides whether that is a write.

use k8s_openapi::api::core::v1::Node;
use kaito_api::Claim;
use kaito_api::conditions::ClaimConditionType;
use kaito_api::labels::{
    DO_NOT_DISRUPT, DO_NOT_SYNC_TAINTS, KAITO_NODE_CLASS, NODE_IMAGE_FAMILY, REGISTERED,
    RESTRICTED_WORKSPACE_UID, UNREGISTERED_TAINT, WORKSPACE_UID,
};
use kube::ResourceExt as _;

use crate::condition::{self, ConditionUpdate};
use crate::launch::decision::LaunchState;
use crate::node::edit::NodeEdit;
use crate::node::facts::has_label;
use crate::node::labels::is_copied;

/// Annotations of a claim that have a meaning on its Node.
const COPIED: [&str; 2] = [DO_NOT_DISRUPT, NODE_IMAGE_FAMILY];

/// Registers the Node, if there is one. Returns the update of `Registered`.
pub(crate) fn decide(claim: &Claim, state: &mut LaunchState<'_>) -> ConditionUpdate {
    match state {
        LaunchState::NotLaunched(_) => condition::not_launched(claim),
        LaunchState::NoSingleNode { reason, cause } => condition::unmet(*reason, cause),
        LaunchState::Joined(edit) => {
            register(claim, edit);
            // The status is written after the Node, and only if that succeeded.
            ConditionUpdate::done()
        }
        LaunchState::Unchanged => condition::stored(claim, ClaimConditionType::Registered),
    }
}

fn register(claim: &Claim, edit: &mut NodeEdit<'_>) {
    let node = edit.node();
    edit.protect();
    edit.own(claim);
    for (key, value) in claim.labels().iter().filter(|(key, _)| is_copied(key)) {
        edit.label(key, value);
    }
    if let Some(uid) = claim.labels().get(WORKSPACE_UID) {
        edit.label(RESTRICTED_WORKSPACE_UID, uid);
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

/// Adds the claim's taints, once: a start-up taint that its agent has removed must not come back.
fn sync_taints(claim: &Claim, node: &Node, edit: &mut NodeEdit<'_>) {
    if !has_label(node, REGISTERED) && !has_label(node, DO_NOT_SYNC_TAINTS) {
        for taint in claim.taints().iter().chain(claim.startup_taints()) {
            edit.taint(taint);
        }
    }
    edit.untaint(UNREGISTERED_TAINT);
}
