//! Memory of the invariants: objects of other owners, and recent work.

use std::collections::{BTreeMap, VecDeque};

use cloudprovider::Instance;
use jiff::{SignedDuration, Timestamp};
use plan::ObjectRef;

use super::bought::Purchases;
use super::templates::Templates;
use crate::controllers::Program;

/// Period for which work is remembered.
pub(super) const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// Memory of the invariants.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub(super) foreign: Vec<ObjectRef>,
    pub(super) foreign_pools: Vec<Instance>,
    pub(super) slots: BTreeMap<String, usize>,
    pub(super) templates: Templates,
    pub(super) purchases: Purchases,
    pub(super) read_log: usize,
    pub(super) read_requests: usize,
    pub(super) reconciles: BTreeMap<(Program, ObjectRef), VecDeque<Timestamp>>,
    pub(super) writes: BTreeMap<(&'static str, ObjectRef), VecDeque<Timestamp>>,
    pub(super) requests: BTreeMap<String, VecDeque<Timestamp>>,
}

impl Ledger {
    /// Records a reconcile of an object.
    pub fn record_reconcile(&mut self, now: Timestamp, program: Program, key: &ObjectRef) {
        push(self.reconciles.entry((program, key.clone())).or_default(), now);
    }

    /// Adds an object that no program may write.
    pub fn protect(&mut self, key: ObjectRef) {
        self.foreign.push(key);
    }

    /// Adds a pool that no program may change.
    pub fn protect_pool(&mut self, pool: Instance) {
        self.foreign_pools.push(pool);
    }

    /// Drops a pool that its owner removes.
    pub fn release_pool(&mut self, name: &str) {
        self.foreign_pools.retain(|pool| pool.name != name);
    }

    /// Allows the Workspace of this UID this many claims.
    pub fn allow(&mut self, uid: &str, slots: usize) {
        self.slots.insert(uid.to_owned(), slots);
    }
}

pub(super) fn push(times: &mut VecDeque<Timestamp>, now: Timestamp) {
    times.push_back(now);
    while times
        .front()
        .is_some_and(|first| now.duration_since(*first) > WINDOW)
    {
        times.pop_front();
    }
}
