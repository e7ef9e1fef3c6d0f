//! Claims of both kinds in the program's caches, and the queues of both kinds.
//!
//! A kind whose definition is not installed has an empty cache.

use kaito_api::{Claim, ClaimKind, Machine, NodeClaim};
use operator_runtime::{Cache, Enqueuer, Key};

/// All claims.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    /// Machines.
    pub(crate) machines: Cache<Machine>,
    /// NodeClaims of every class.
    pub(crate) node_claims: Cache<NodeClaim>,
}

impl Claims {
    /// All claims of both kinds.
    pub(crate) fn all(&self) -> Vec<Claim> {
        let machines = self.machines.all().into_iter().map(Claim::from);
        let node_claims = self.node_claims.all().into_iter().map(Claim::from);
        machines.chain(node_claims).collect()
    }

    /// The claims of a name: at most one of each kind.
    pub(crate) fn named(&self, name: &str) -> Vec<Claim> {
        let key = Key::cluster(name);
        let machine = self.machines.get(&key).map(Claim::from);
        let node_claim = self.node_claims.get(&key).map(Claim::from);
        machine.into_iter().chain(node_claim).collect()
    }

    /// Returns true if the first listing of a kind is complete.
    pub(crate) fn is_listed(&self, kind: ClaimKind) -> bool {
        match kind {
            ClaimKind::Machine => self.machines.is_ready(),
            ClaimKind::NodeClaim => self.node_claims.is_ready(),
        }
    }
}

/// The queues of both kinds.
#[derive(Clone, Debug)]
pub(crate) struct ClaimEnqueuers {
    /// The queue of Machines.
    pub(crate) machines: Enqueuer,
    /// The queue of NodeClaims.
    pub(crate) node_claims: Enqueuer,
}

impl ClaimEnqueuers {
    /// The queue of a kind.
    pub(crate) fn of(&self, kind: ClaimKind) -> &Enqueuer {
        match kind {
            ClaimKind::Machine => &self.machines,
            ClaimKind::NodeClaim => &self.node_claims,
        }
    }

    /// Enqueues the claims of a name. Only claims that exist: a key without an object is treated as deleted.
    pub(crate) fn enqueue_named(&self, claims: &Claims, name: &str) {
        for claim in claims.named(name) {
            self.of(claim.claim_kind()).enqueue(Key::cluster(name));
        }
    }
}
