//! The queue of automatic upgrades, shared between the reconciles that ask it and the watches that move it on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kaito_api::Workspace;
use operator_runtime::{Cache, Change, Enqueuer, Index, Key};
use workspace_plan::{Settings, Turn, TurnRequest, UnfinishedUpgrade, UpgradeQueue, Upgrades, Wake};

/// Index value of revisions whose automatic upgrade is unfinished.
const UNFINISHED: &str = "unfinished";

/// The queue of all namespaces; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct SharedUpgradeQueue {
    queue: Arc<Mutex<UpgradeQueue>>,
    settings: Arc<Upgrades>,
    /// By [`unfinished_value`].
    unfinished: Index<ControllerRevision>,
    workspaces: Cache<Workspace>,
    enqueuer: Enqueuer,
}

impl SharedUpgradeQueue {
    pub(crate) fn new(
        settings: &Settings,
        enqueuer: &Enqueuer,
        unfinished: Index<ControllerRevision>,
        workspaces: Cache<Workspace>,
    ) -> Self {
        Self {
            queue: Arc::default(),
            settings: Arc::new(settings.upgrades.clone()),
            unfinished,
            workspaces,
            enqueuer: enqueuer.clone(),
        }
    }

    /// Asks for a turn. The unfinished upgrades are read while no other reconcile is answered.
    pub(crate) fn turn(&self, request: &TurnRequest, now: Timestamp) -> Turn {
        match self.settings.as_ref() {
            Upgrades::Manual => Turn::None,
            Upgrades::Automatic(settings) => {
                let mut queue = self.lock();
                queue.request(settings, request, &self.unfinished(), now)
            }
        }
    }

    /// Leaves the queue.
    pub(crate) fn withdraw(&self, namespace: &str, workspace: &str) {
        let wakes = self.lock().withdraw(namespace, workspace);
        self.wake(wakes);
    }

    /// Enqueues the Workspaces that wait, if an upgrade has ended.
    pub(crate) fn record(&self, change: &Change<ControllerRevision>) {
        let is_unfinished = |revision: &Option<Arc<ControllerRevision>>| {
            revision
                .as_ref()
                .and_then(|revision| UnfinishedUpgrade::of(revision))
                .is_some()
        };
        if is_unfinished(&change.old) && !is_unfinished(&change.new) {
            let wakes = self.lock().freed();
            self.wake(wakes);
        }
    }

    /// The unfinished upgrades of Workspaces that exist. Revisions of others are garbage.
    fn unfinished(&self) -> Vec<UnfinishedUpgrade> {
        let all = self.unfinished.get(UNFINISHED);
        let all = all.iter().filter_map(|revision| UnfinishedUpgrade::of(revision));
        all.filter(|upgrade| {
            let key = Key::namespaced(&upgrade.namespace, &upgrade.workspace);
            let workspace = self.workspaces.get(&key);
            workspace.is_some_and(|workspace| workspace.uid() == upgrade.uid && !workspace.is_terminating())
        })
        .collect()
    }

    fn wake(&self, wakes: Vec<Wake>) {
        for wake in wakes {
            let key = Key::namespaced(wake.namespace, wake.workspace);
            self.enqueuer.enqueue_after(key, wake.after);
        }
    }

    fn lock(&self) -> MutexGuard<'_, UpgradeQueue> {
        // Every update leaves the queue whole, so a panic elsewhere does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Index value of a revision.
pub(crate) fn unfinished_value(revision: &ControllerRevision) -> Vec<String> {
    let upgrade = UnfinishedUpgrade::of(revision);
    upgrade.map(|_| UNFINISHED.to_owned()).into_iter().collect()
}
