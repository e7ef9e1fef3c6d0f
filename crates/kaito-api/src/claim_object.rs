//! Code over both kinds of claims, such as a watch or a reconciler of each.

use std::sync::Arc;

use crate::{Claim, ClaimKind, Machine, NodeClaim};

/// An object that is a claim.
pub trait ClaimObject {
    /// Its kind.
    const CLAIM: ClaimKind;

    /// Converts it to a claim.
    fn claim(self: Arc<Self>) -> Claim;
}

impl ClaimObject for Machine {
    const CLAIM: ClaimKind = ClaimKind::Machine;

    fn claim(self: Arc<Self>) -> Claim {
        self.into()
    }
}

impl ClaimObject for NodeClaim {
    const CLAIM: ClaimKind = ClaimKind::NodeClaim;

    fn claim(self: Arc<Self>) -> Claim {
        self.into()
    }
}
