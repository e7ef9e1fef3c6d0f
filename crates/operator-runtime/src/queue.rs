//! The work queue: keys of objects, each with the time when it is due.
//!
//! A key is in it at most once, and is not handed out while it is being worked on. So a program that waits for the
//! lease gathers at most one entry an object.
//!
//! Namespaces with due keys take turns, so a namespace with thousands of them delays another by one key. Within a namespace
//! new objects are first, and then the key that is due first: what a new object asks for takes longest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::key::Key;

/// Creates a queue with any number of enqueuers and one reader. A key is due `debounce` after it was enqueued, so that
/// many changes cause one reconcile.
#[must_use]
pub fn queue(debounce: Duration) -> (Enqueuer, WorkQueue) {
    let shared = Arc::new(Shared {
        entries: Mutex::default(),
        wake: Notify::new(),
        debounce,
    });
    (Enqueuer(Arc::clone(&shared)), WorkQueue(shared))
}

#[derive(Debug)]
struct Shared {
    entries: Mutex<Entries>,
    wake: Notify,
    debounce: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds keys to the queue; clones feed the same queue.
#[derive(Clone, Debug)]
pub struct Enqueuer(Arc<Shared>);

impl Enqueuer {
    /// Adds an object that has changed.
    pub fn enqueue(&self, key: Key) {
        self.enqueue_after(key, self.0.debounce);
    }

    /// Adds an object that is due after `delay`; an earlier time of the same object stays.
    pub fn enqueue_after(&self, key: Key, delay: Duration) {
        self.0.lock().add(key, Instant::now() + delay, Rank::Known);
        self.0.wake.notify_one();
    }

    /// Adds an object for which nothing was done yet. It is due at once, before the others of its namespace.
    pub fn enqueue_new(&self, key: Key) {
        self.0.lock().add(key, Instant::now(), Rank::New);
        self.0.wake.notify_one();
    }
}

/// Takes keys out of the queue once they are due.
#[derive(Debug)]
pub struct WorkQueue(Arc<Shared>);

impl WorkQueue {
    /// Waits for the next due key. It counts as being worked on until [`WorkQueue::done`].
    pub async fn next(&self) -> Key {
        loop {
            let next_at = {
                let mut entries = self.0.lock();
                if let Some(key) = entries.take(Instant::now()) {
                    return key;
                }
                entries.next_at()
            };
            match next_at {
                Some(at) => tokio::select! {
                    () = self.0.wake.notified() => {}
                    () = sleep_until(at) => {}
                },
                None => self.0.wake.notified().await,
            }
        }
    }

    /// Ends the work on a key. With `again_after`, the key is due again after that time.
    pub fn done(&self, key: Key, again_after: Option<Duration>) {
        let now = Instant::now();
        self.0.lock().done(key, again_after.map(|delay| now + delay), now);
        self.0.wake.notify_one();
    }

    /// Returns a check that fails if a key is due and no key has been taken for `limit`.
    pub(crate) fn moves(&self, limit: Duration) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let shared = Arc::clone(&self.0);
        move || shared.lock().moves(Instant::now(), limit)
    }

    /// Number of keys that are due and wait for a worker.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.lock().due(Instant::now())
    }
}

/// The order among the due keys of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    New,
    Known,
}

/// The waiting keys of one namespace, in their order.
#[derive(Debug, Default)]
struct Waiting {
    new: BTreeSet<(Instant, Key)>,
    known: BTreeSet<(Instant, Key)>,
}

impl Waiting {
    fn of(&mut self, rank: Rank) -> &mut BTreeSet<(Instant, Key)> {
        match rank {
            Rank::New => &mut self.new,
            Rank::Known => &mut self.known,
        }
    }

    fn all(&self) -> [&BTreeSet<(Instant, Key)>; 2] {
        [&self.new, &self.known]
    }

    /// The key whose turn it is.
    fn next(&self, now: Instant) -> Option<&(Instant, Key)> {
        let mut firsts = self.all().into_iter().filter_map(BTreeSet::first);
        firsts.find(|(at, _)| *at <= now)
    }

    /// The key that is due first.
    fn first(&self) -> Option<&(Instant, Key)> {
        self.all().into_iter().filter_map(BTreeSet::first).min()
    }

    fn due(&self, now: Instant) -> usize {
        let due = |keys: &BTreeSet<(Instant, Key)>| keys.iter().take_while(|(at, _)| *at <= now).count();
        self.all().into_iter().map(due).sum()
    }

    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.known.is_empty()
    }
}

/// The entries of the queue, without a clock.
#[derive(Debug, Default)]
struct Entries {
    waiting: HashMap<Key, (Rank, Instant)>,
    /// The waiting keys of each namespace; `None` for objects without a namespace.
    namespaces: BTreeMap<Option<String>, Waiting>,
    /// The namespace whose turn was last.
    last_turn: Option<String>,
    /// Keys being worked on, each with the time when it is due again.
    working: HashMap<Key, Option<Instant>>,
    /// Time at which a key was taken last.
    taken: Option<Instant>,
}

impl Entries {
    fn add(&mut self, key: Key, at: Instant, rank: Rank) {
        if let Some(again) = self.working.get_mut(&key) {
            *again = Some(again.map_or(at, |earlier| earlier.min(at)));
            return;
        }
        let mut entry = (rank, at);
        if let Some((earlier_rank, earlier)) = self.waiting.get(&key).copied() {
            entry = (rank.min(earlier_rank), at.min(earlier));
            if entry == (earlier_rank, earlier) {
                return;
            }
            self.remove(&key);
        }
        let (rank, at) = entry;
        let keys = self.namespaces.entry(key.namespace.clone()).or_default();
        keys.of(rank).insert((at, key.clone()));
        self.waiting.insert(key, entry);
    }

    fn take(&mut self, now: Instant) -> Option<Key> {
        let after = (Bound::Excluded(self.last_turn.clone()), Bound::Unbounded);
        let mut turns = self.namespaces.range(after).chain(&self.namespaces);
        let (_, key) = turns.find_map(|(_, keys)| keys.next(now))?.clone();
        self.remove(&key);
        self.last_turn.clone_from(&key.namespace);
        self.taken = Some(now);
        self.working.insert(key.clone(), None);
        Some(key)
    }

    fn remove(&mut self, key: &Key) {
        let Some((rank, at)) = self.waiting.remove(key) else {
            return;
        };
        if let Some(keys) = self.namespaces.get_mut(&key.namespace) {
            keys.of(rank).remove(&(at, key.clone()));
            if keys.is_empty() {
                self.namespaces.remove(&key.namespace);
            }
        }
    }

    /// The key that is due first, with its time.
    fn first(&self) -> Option<&(Instant, Key)> {
        self.namespaces.values().filter_map(Waiting::first).min()
    }

    /// A key that was enqueued meanwhile is due from now on, so it queues behind the keys that wait already.
    fn done(&mut self, key: Key, again: Option<Instant>, now: Instant) {
        let enqueued = self.working.remove(&key).flatten();
        if let Some(at) = enqueued.into_iter().chain(again).min() {
            self.add(key, at.max(now), Rank::Known);
        }
    }

    fn moves(&self, now: Instant, limit: Duration) -> Result<(), String> {
        let Some((due, key)) = self.first() else {
            return Ok(());
        };
        let stuck = now.saturating_duration_since(self.taken.map_or(*due, |taken| taken.max(*due)));
        if stuck <= limit {
            return Ok(());
        }
        Err(format!(
            "{key} is due and the queue has not moved for {} s",
            stuck.as_secs()
        ))
    }

    fn next_at(&self) -> Option<Instant> {
        self.first().map(|(at, _)| *at)
    }

    fn due(&self, now: Instant) -> usize {
        self.namespaces.values().map(|keys| keys.due(now)).sum()
    }
}

#[cfg(test)]
mod tests;
