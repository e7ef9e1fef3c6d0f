//! Claims of both kinds, as the provisioner's stores hold them, and how each kind is woken.
//!
//! Reads only. A kind whose definition is not installed has an empty store.

use std::sync::Arc;

use kaito_api::{Claim, ClaimKind, Machine, NodeClaim};
use operator_runtime::{Cache, Enqueuer, Key, Watched};

/// An object that is a claim.
pub trait ClaimObject: Watched {
    /// Its kind.
    const CLAIM: ClaimKind;

    /// The claim that it is.
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

/// All claims.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Machines.
    pub machines: Cache<Machine>,
    /// NodeClaims, whoever is to answer them.
    pub node_claims: Cache<NodeClaim>,
}

impl Claims {
    /// Every claim there is.
    #[must_use]
    pub fn all(&self) -> Vec<Claim> {
        let machines = self.machines.all().into_iter().map(Claim::from);
        machines
            .chain(self.node_claims.all().into_iter().map(Claim::from))
            .collect()
    }

    /// The claims of a name: at most one of each kind.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<Claim> {
        let key = Key::cluster(name);
        let machine = self.machines.get(&key).map(Claim::from);
        machine
            .into_iter()
            .chain(self.node_claims.get(&key).map(Claim::from))
            .collect()
    }

    /// Whether the first listing of a kind is complete.
    #[must_use]
    pub fn is_listed(&self, kind: ClaimKind) -> bool {
        match kind {
            ClaimKind::Machine => self.machines.is_ready(),
            ClaimKind::NodeClaim => self.node_claims.is_ready(),
        }
    }
}

/// The queues of both kinds.
#[derive(Clone, Debug)]
pub struct Triggers {
    /// Of Machines.
    pub machines: Enqueuer,
    /// Of NodeClaims.
    pub node_claims: Enqueuer,
}

impl Triggers {
    /// The queue of a kind.
    #[must_use]
    pub fn of(&self, kind: ClaimKind) -> &Enqueuer {
        match kind {
            ClaimKind::Machine => &self.machines,
            ClaimKind::NodeClaim => &self.node_claims,
        }
    }

    /// Wakes the claims of a name that are there. To be woken for nothing counts as being gone, so others are not.
    pub fn wake(&self, claims: &Claims, name: &str) {
        for claim in claims.named(name) {
            self.of(claim.claim_kind()).enqueue(Key::cluster(name));
        }
    }
}
