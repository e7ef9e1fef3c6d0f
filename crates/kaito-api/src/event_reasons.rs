//! Reasons of Events that are not reasons of conditions.

use crate::claim_kind::ClaimKind;

/// A reconcile failed and is repeated.
pub const RECONCILE_FAILED: &str = "ReconcileFailed";
/// A Workspace became ready.
pub const READY: &str = "Ready";
/// A claim was deleted since its Workspace is gone.
pub const ORPHANED_CLAIM_DELETED: &str = "OrphanedClaimDeleted";

/// Returns the reason for the creation of a claim.
#[must_use]
pub fn claim_created(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Machine => "MachineCreated",
        ClaimKind::NodeClaim => "NodeClaimCreated",
    }
}

/// Returns the reason for the deletion of a claim.
#[must_use]
pub fn claim_deleted(kind: ClaimKind) -> &'static str {
    match kind {
        ClaimKind::Machine => "MachineDeleted",
        ClaimKind::NodeClaim => "NodeClaimDeleted",
    }
}
