//! Back-offs after failed launches, shared between the watch that records them and the reconciles that read them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use kaito_api::NodeClaim;
use operator_runtime::{Change, Key};
use workspace_plan::{LaunchBackoff, LaunchBackoffs, Offer};

/// Back-offs of all Workspaces; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLaunchBackoffs(Arc<Mutex<LaunchBackoffs>>);

impl SharedLaunchBackoffs {
    /// Records one change of a NodeClaim.
    pub(crate) fn record(&self, change: &Change<NodeClaim>, now: Timestamp) {
        self.lock()
            .record(change.old.as_deref(), change.new.as_deref(), now);
    }

    /// Returns the back-offs of one Workspace, by claim name.
    pub(crate) fn of(&self, namespace: &str, workspace: &str) -> BTreeMap<String, LaunchBackoff> {
        self.lock().of(namespace, workspace)
    }

    /// Returns the offer of the claim of this UID, if it failed last.
    pub(crate) fn offer_of(&self, uid: &str) -> Option<Offer> {
        self.lock().offer_of(uid)
    }

    /// Returns the Workspace whose claim of this UID failed last.
    pub(crate) fn owner_of(&self, uid: &str) -> Option<Key> {
        let (namespace, name) = self.lock().owner_of(uid)?;
        Some(Key::namespaced(namespace, name))
    }

    fn lock(&self) -> MutexGuard<'_, LaunchBackoffs> {
        // Every update leaves the map whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
