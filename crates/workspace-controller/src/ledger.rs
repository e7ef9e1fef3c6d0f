//! The ledger of nodes, shared between the reconciles that ask it and the watches that free room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kaito_api::Claim;
use operator_runtime::{Enqueuer, Key};
use workspace_plan::{Grant, GrantRequest, Settings, SpendLedger, Wake};

/// The ledger of all namespaces; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct SharedLedger {
    ledger: Arc<Mutex<SpendLedger>>,
    started: Instant,
    settings: Arc<Settings>,
    enqueuer: Enqueuer,
}

impl SharedLedger {
    pub(crate) fn new(settings: &Settings, enqueuer: &Enqueuer) -> Self {
        Self {
            ledger: Arc::default(),
            started: Instant::now(),
            settings: Arc::new(settings.clone()),
            enqueuer: enqueuer.clone(),
        }
    }

    /// Asks for claims. `existing` reads the claims of the namespace, while no other reconcile is answered.
    pub(crate) fn grant(&self, request: &GrantRequest, existing: impl FnOnce() -> Vec<Claim>) -> Grant {
        let (grant, wakes) = {
            let mut ledger = self.lock();
            ledger.request(&self.settings, request, &existing(), self.started.elapsed())
        };
        self.wake(wakes);
        grant
    }

    /// Takes back the grant of a Workspace.
    pub(crate) fn withdraw(&self, namespace: &str, workspace: &str) {
        let wakes = self.lock().withdraw(namespace, workspace, self.started.elapsed());
        self.wake(wakes);
    }

    /// Enqueues the Workspaces that wait for room in a namespace.
    pub(crate) fn freed(&self, namespace: &str) {
        let wakes = self.lock().freed(namespace);
        self.wake(wakes);
    }

    fn wake(&self, wakes: Vec<Wake>) {
        for wake in wakes {
            let key = Key::namespaced(wake.namespace, wake.workspace);
            self.enqueuer.enqueue_after(key, wake.after);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SpendLedger> {
        // Every update leaves the ledger whole, so a panic elsewhere does not spoil it.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
