//! Writes that a cache does not show yet.
//!
//! A reconcile should not decide on a state older than its own last writes. Planners tolerate a stale cache, but
//! each stale decision costs a needless write or call. A pending write holds up one object only, and only for a few
//! seconds: a broken watch must not stop the work for ever.

use std::collections::BTreeMap;
use std::ops::Add;
use std::time::Duration;

use crate::{Kind, ObjectRef};

/// Time for which a cache may lag before it is used all the same.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// One write that a cache is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingWrite {
    /// The kind has reached this version.
    Version {
        /// Kind of the written object.
        kind: Kind,
        /// Resource version in the API server's response.
        version: u64,
    },
    /// An object was deleted, or is terminating.
    Deleted {
        /// The deleted object.
        target: ObjectRef,
        /// UID of the object that is meant.
        uid: String,
    },
}

impl PendingWrite {
    /// Kind of the object that was written.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Version { kind, .. } => *kind,
            Self::Deleted { target, .. } => target.kind,
        }
    }
}

/// Visibility of the writes of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The cache shows every write.
    Shown,
    /// Some writes are not shown yet: reconcile later.
    Awaited,
    /// These writes were not shown in time: reconcile all the same.
    Overdue(Vec<PendingWrite>),
}

/// The pending writes of each reconciled object. `K` names an object, `I` is an instant of the caller's clock.
#[derive(Clone, Debug)]
pub struct PendingWrites<K, I> {
    /// By object, the end of the patience and the writes.
    pending: BTreeMap<K, (I, Vec<PendingWrite>)>,
}

impl<K, I> Default for PendingWrites<K, I> {
    fn default() -> Self {
        Self {
            pending: BTreeMap::new(),
        }
    }
}

impl<K: Ord, I: Copy + Ord + Add<Duration, Output = I>> PendingWrites<K, I> {
    /// Records the writes of one reconcile of the object.
    pub fn record(&mut self, key: K, writes: Vec<PendingWrite>, now: I) {
        if !writes.is_empty() {
            self.pending.insert(key, (now + PATIENCE, writes));
        }
    }

    /// Returns the visibility of the object's writes, and forgets those that need no more patience.
    pub fn visibility(&mut self, key: &K, shows: impl Fn(&PendingWrite) -> bool, now: I) -> Visibility {
        let Some((until, writes)) = self.pending.get_mut(key) else {
            return Visibility::Shown;
        };
        writes.retain(|write| !shows(write));
        if !writes.is_empty() && now < *until {
            return Visibility::Awaited;
        }
        match self.pending.remove(key) {
            Some((_, writes)) if !writes.is_empty() => Visibility::Overdue(writes),
            _ => Visibility::Shown,
        }
    }

    /// Forgets an object that was deleted.
    pub fn forget(&mut self, key: &K) {
        self.pending.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: u64) -> PendingWrite {
        PendingWrite::Version {
            kind: Kind::Pod,
            version,
        }
    }

    #[test]
    fn patience_ends_and_other_objects_are_not_held_up() {
        let mut pending = PendingWrites::default();
        let at = Duration::from_secs;
        pending.record("a", vec![version(1), version(2)], at(0));
        let first_only = |write: &PendingWrite| *write == version(1);
        assert_eq!(pending.visibility(&"b", first_only, at(0)), Visibility::Shown);
        assert_eq!(pending.visibility(&"a", first_only, at(3)), Visibility::Awaited);
        assert_eq!(
            pending.visibility(&"a", |_| false, at(4)),
            Visibility::Overdue(vec![version(2)])
        );
        assert_eq!(pending.visibility(&"a", |_| false, at(4)), Visibility::Shown);
        pending.record("a", vec![version(3)], at(5));
        pending.forget(&"a");
        assert_eq!(pending.visibility(&"a", |_| false, at(5)), Visibility::Shown);
    }
}
