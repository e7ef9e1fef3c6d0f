//! Keeps a reconcile from deciding on a world older than what this process itself has written for that object.
//!
//! Planners tolerate stale stores, but each stale look costs a needless write or call. A promise holds up one
//! object only, and only for a few seconds: a watch that is down must not stop the work for ever.

use std::collections::HashMap;
use std::time::Duration;

use plan::{Kind, ObjectRef};
use tokio::time::Instant;

use crate::key::Key;
use crate::stores::Caches;

/// How long a store may lag before it is used all the same.
const PATIENCE: Duration = Duration::from_secs(4);

/// One write that the stores are to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// The kind has reached this version.
    Version {
        /// The kind.
        kind: Kind,
        /// The resource version that the API server answered.
        version: u64,
    },
    /// An object was deleted, or is being deleted.
    Gone {
        /// The object.
        target: ObjectRef,
        /// Its UID.
        uid: String,
    },
}

/// The writes of each reconciled object that the stores have not shown yet.
#[derive(Debug, Default)]
pub(crate) struct OwnWrites {
    pending: HashMap<Key, (Instant, Vec<Wrote>)>,
}

impl OwnWrites {
    /// A reconcile of this object has written.
    pub(crate) fn record(&mut self, key: &Key, wrote: Vec<Wrote>, now: Instant) {
        if !wrote.is_empty() {
            self.pending.insert(key.clone(), (now, wrote));
        }
    }

    /// Whether the stores show everything that was written for this object, or have had long enough to.
    pub(crate) fn are_visible(&mut self, key: &Key, caches: &Caches, now: Instant) -> bool {
        let Some((since, wrote)) = self.pending.get_mut(key) else {
            return true;
        };
        wrote.retain(|wrote| !caches.shows(wrote));
        let settled = wrote.is_empty();
        if !settled && now.duration_since(*since) < PATIENCE {
            return false;
        }
        if !settled {
            tracing::warn!(object = %key, missing = ?wrote, "a store does not show what was written; going on");
        }
        self.pending.remove(key);
        true
    }

    /// The object is gone.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.pending.remove(key);
    }
}

#[cfg(test)]
mod tests;
