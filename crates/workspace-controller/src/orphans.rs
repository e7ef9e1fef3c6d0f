//! The collector of orphaned claims, for one kind of claim. `workspace_plan::plan_claim` decides.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kaito_api::{Claim, ClaimKind, ClaimObject, Workspace};
use kube::Client;
use operator_runtime::{Cache, Enqueuer, Error, Key, Reconciler, Watched, live};
use plan::{Kind, NoCloud, Plan};
use telemetry::{Counter, Metrics};
use workspace_plan::{ClaimOwner, ObservedClaim, OrphanMemory, Ownership, Settings};

/// The queues of the collectors of both kinds.
#[derive(Clone, Debug)]
pub(crate) struct OrphanEnqueuers {
    pub(crate) machines: Enqueuer,
    pub(crate) node_claims: Enqueuer,
}

impl OrphanEnqueuers {
    /// The queue of a kind.
    pub(crate) fn of(&self, kind: ClaimKind) -> &Enqueuer {
        match kind {
            ClaimKind::Machine => &self.machines,
            ClaimKind::NodeClaim => &self.node_claims,
        }
    }
}

/// Parts that the collectors of both kinds share.
pub(crate) struct OrphanShare {
    workspaces: Cache<Workspace>,
    client: Client,
    settings: Settings,
    started: Instant,
    memory: Mutex<OrphanMemory>,
    deletions: Counter<1>,
}

impl OrphanShare {
    pub(crate) fn new(
        workspaces: Cache<Workspace>,
        client: Client,
        settings: Settings,
        metrics: &Metrics,
    ) -> Self {
        Self {
            workspaces,
            client,
            settings,
            started: Instant::now(),
            memory: Mutex::default(),
            deletions: metrics.counter(
                "kaito_orphaned_claims",
                "Claims that were deleted because their Workspace is gone",
                ["kind"],
            ),
        }
    }

    async fn ownership(&self, claim: &Claim) -> Result<Ownership, Error> {
        let Some(owner) = ClaimOwner::of(claim) else {
            return Ok(Ownership::Owned);
        };
        let key = Key::namespaced(owner.namespace, owner.name);
        let cached = self.workspaces.get(&key);
        let exists = cached.is_some_and(|workspace| workspace.uid() == owner.uid);
        if let Some(ownership) = self.memory().record(claim, exists, self.started.elapsed()) {
            return Ok(ownership);
        }
        let found = live::uid::<Workspace>(&self.client, &key).await?;
        let exists = found.as_deref() == Some(owner.uid);
        let ownership = self.memory().confirm(claim, exists, self.started.elapsed());
        if ownership == Ownership::Orphaned {
            self.deletions.inc([claim.claim_kind().as_str()]);
        }
        Ok(ownership)
    }

    fn memory(&self) -> MutexGuard<'_, OrphanMemory> {
        // Every update leaves the memory whole, so a panic elsewhere does not spoil it.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reconciler of the claims of one kind.
pub(crate) struct Orphans<K> {
    share: Arc<OrphanShare>,
    kind: PhantomData<K>,
}

impl<K> Orphans<K> {
    pub(crate) fn new(share: &Arc<OrphanShare>) -> Self {
        Self {
            share: Arc::clone(share),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Orphans<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orphans").finish_non_exhaustive()
    }
}

impl<K: ClaimObject + Watched> Reconciler for Orphans<K> {
    const KIND: Kind = Kind::of_claim(K::CLAIM);
    type Object = K;
    type Observed = ObservedClaim;
    type Cloud = NoCloud;

    async fn observe(&self, object: Arc<K>) -> Result<ObservedClaim, Error> {
        let claim = object.claim();
        let ownership = self.share.ownership(&claim).await?;
        Ok(ObservedClaim { claim, ownership })
    }

    fn plan(&self, _: Timestamp, observed: &ObservedClaim) -> Plan {
        workspace_plan::plan_claim(observed, &self.share.settings)
    }

    async fn call(&self, _: &K, call: NoCloud) -> Result<Option<Duration>, Error> {
        match call {}
    }

    fn on_deleted(&self, key: &Key) {
        self.share.memory().forget(K::CLAIM, &key.name);
    }
}
