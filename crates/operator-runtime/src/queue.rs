//! The work queue: which object is due when, and which are being worked on.
//!
//! A key is in it at most once and is never handed out while it is being worked on. It holds keys, so a program
//! that may not work yet, because another holds the lease, gathers no more than one entry an object.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::key::Key;

/// A new queue: any number of triggers, one worker. `debounce` is how long a trigger waits for company.
#[must_use]
pub fn queue(debounce: Duration) -> (Trigger, Work) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        wake: Notify::new(),
        debounce,
    });
    (Trigger(Arc::clone(&shared)), Work(shared))
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
    debounce: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts keys into the queue; clones feed the same one.
#[derive(Clone, Debug)]
pub struct Trigger(Arc<Shared>);

impl Trigger {
    /// Something about this object changed.
    pub fn enqueue(&self, key: Key) {
        self.enqueue_after(key, self.0.debounce);
    }

    /// The object is to be looked at by then; sooner if something else asks for it.
    pub fn enqueue_after(&self, key: Key, delay: Duration) {
        self.0.lock().add(key, Instant::now() + delay);
        self.0.wake.notify_one();
    }
}

/// Takes keys out of the queue, when they are due.
#[derive(Debug)]
pub struct Work(Arc<Shared>);

impl Work {
    /// The next key that is due; it counts as being worked on until [`Work::done`].
    pub async fn next(&self) -> Key {
        loop {
            let next_at = {
                let mut state = self.0.lock();
                if let Some(key) = state.take(Instant::now()) {
                    return key;
                }
                state.next_at()
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

    /// The work on a key has ended; with a delay it is to be looked at again by then.
    pub fn done(&self, key: Key, again_after: Option<Duration>) {
        let now = Instant::now();
        self.0.lock().done(key, again_after.map(|delay| now + delay), now);
        self.0.wake.notify_one();
    }

    /// How many keys are due now and wait for a worker.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.lock().due(Instant::now())
    }
}

/// The queue itself: no clock, no waiting.
#[derive(Debug, Default)]
struct State {
    waiting: HashMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
    /// Keys being worked on, and when each is wanted again.
    working: HashMap<Key, Option<Instant>>,
}

impl State {
    fn add(&mut self, key: Key, at: Instant) {
        if let Some(again) = self.working.get_mut(&key) {
            *again = Some(again.map_or(at, |earlier| earlier.min(at)));
            return;
        }
        if let Some(earlier) = self.waiting.get(&key).copied() {
            if earlier <= at {
                return;
            }
            self.order.remove(&(earlier, key.clone()));
        }
        self.order.insert((at, key.clone()));
        self.waiting.insert(key, at);
    }

    fn take(&mut self, now: Instant) -> Option<Key> {
        if self.order.first()?.0 > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.waiting.remove(&key);
        self.working.insert(key.clone(), None);
        Some(key)
    }

    /// What was asked for meanwhile counts from now on: who was just served goes behind those who wait.
    fn done(&mut self, key: Key, again: Option<Instant>, now: Instant) {
        let asked = self.working.remove(&key).flatten();
        if let Some(at) = asked.into_iter().chain(again).min() {
            self.add(key, at.max(now));
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    fn due(&self, now: Instant) -> usize {
        self.order.iter().take_while(|(at, _)| *at <= now).count()
    }
}

#[cfg(test)]
mod tests;
