//! Memory of the invariants: objects of other owners, and recent work.

use std::collections::{BTreeMap, VecDeque};

use cloudprovider::Instance;
use jiff::{SignedDuration, Timestamp};
use plan::ObjectRef;

use super::bought::Purchases;
use super::templates::Templates;
use crate::api_server::shown;
use crate::controllers::Program;

/// Period for which work is remembered.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// Most reconciles of one object in [`WINDOW`].
const MOST_RECONCILES: usize = 600;
/// Most writes of one object in [`WINDOW`].
const MOST_WRITES: usize = 80;
/// Most requests to change one pool in [`WINDOW`].
const MOST_REQUESTS: usize = 60;

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
    /// The first object on which there was too much work.
    pub(super) excess: Option<String>,
    /// Changes of instances when their slots were checked last.
    pub(super) read_pools: usize,
}

impl Ledger {
    /// Records a reconcile of an object.
    pub fn record_reconcile(&mut self, now: Timestamp, program: Program, key: &ObjectRef) {
        let times = self.reconciles.entry((program, key.clone())).or_default();
        let excess = push(times, now, MOST_RECONCILES);
        let what = excess.map(|excess| format!("{} looks at {} {excess}", program.name(), shown(key)));
        self.excess = self.excess.take().or(what);
    }

    /// Records a write of a program.
    pub(super) fn record_write(&mut self, at: Timestamp, actor: &'static str, key: &ObjectRef) {
        let times = self.writes.entry((actor, key.clone())).or_default();
        let what =
            push(times, at, MOST_WRITES).map(|excess| format!("{actor} writes {} {excess}", shown(key)));
        self.excess = self.excess.take().or(what);
    }

    /// Records a request to change a pool.
    pub(super) fn record_request(&mut self, at: Timestamp, request: &str) {
        let times = self.requests.entry(request.to_owned()).or_default();
        let what =
            push(times, at, MOST_REQUESTS).map(|excess| format!("the cloud is asked to {request} {excess}"));
        self.excess = self.excess.take().or(what);
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

/// Adds a time. Returns words if there are more than this many in [`WINDOW`].
fn push(times: &mut VecDeque<Timestamp>, now: Timestamp, most: usize) -> Option<String> {
    times.push_back(now);
    while times
        .front()
        .is_some_and(|first| now.duration_since(*first) > WINDOW)
    {
        times.pop_front();
    }
    (times.len() > most).then(|| format!("{} times in {} minutes", times.len(), WINDOW.as_mins()))
}
