//! The loop from keys that are due to passes: how many at once, when again, and what failures cost.
//!
//! It owns all bookkeeping; passes run beside it, never two over one object. What a pass does is not its matter.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff;
use crate::error::{Chain, Class, Error};
use crate::key::Key;
use crate::own_writes::OwnWrites;
use crate::pass::{Pass, Passed};
use crate::queue::Work;
use crate::reconciler::Reconciler;
use crate::runtime::{Runtime, RuntimeMetrics};
use crate::store::Store;
use crate::stores::Caches;

/// How soon a postponed reconcile is tried again.
const POSTPONE: Duration = Duration::from_millis(100);

/// How reconciles are run.
#[derive(Clone, Copy, Debug)]
pub struct DriveSettings {
    /// How many objects are worked on at once.
    pub concurrency: usize,
}

impl Default for DriveSettings {
    fn default() -> Self {
        Self { concurrency: 16 }
    }
}

/// One kind of object, ready to be driven.
#[derive(Debug)]
pub struct Drive<R: Reconciler> {
    /// What to make of an object.
    pub reconciler: R,
    /// The objects.
    pub store: Store<R::Object>,
    /// All stores that the reconciler observes, the objects' own among them.
    pub caches: Caches,
    /// The keys that are due.
    pub work: Work,
    /// How reconciles are run.
    pub settings: DriveSettings,
}

impl<R: Reconciler> Drive<R> {
    /// Works until the token is cancelled, then ends what was begun. Call it when [`Caches::ready`] has returned.
    ///
    /// # Errors
    /// Never so far: failed reconciles are retried.
    pub async fn run(self, runtime: &Runtime, token: CancellationToken) -> anyhow::Result<()> {
        let mut driver = Driver::new(self, runtime);
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => break,
                Some(ended) = driver.running.join_next_with_id() => driver.ended(ended),
                key = driver.work.next(), if driver.has_room() => driver.start(key),
            }
            driver.note_depth();
        }
        tracing::info!(
            kind = R::KIND.as_str(),
            under_way = driver.running.len(),
            "taking no more work"
        );
        while let Some(ended) = driver.running.join_next_with_id().await {
            driver.ended(ended);
        }
        Ok(())
    }
}

struct Driver<R: Reconciler> {
    pass: Arc<Pass<R>>,
    store: Store<R::Object>,
    caches: Caches,
    work: Work,
    concurrency: usize,
    metrics: RuntimeMetrics,
    running: JoinSet<Passed>,
    keys: HashMap<Id, Key>,
    /// Failures in a row.
    failures: HashMap<Key, u32>,
    own_writes: OwnWrites,
}

impl<R: Reconciler> Driver<R> {
    fn new(drive: Drive<R>, runtime: &Runtime) -> Self {
        let Drive {
            reconciler,
            store,
            caches,
            work,
            settings,
        } = drive;
        Self {
            pass: Arc::new(Pass::new(reconciler, runtime)),
            store,
            caches,
            work,
            concurrency: settings.concurrency.max(1),
            metrics: runtime.metrics.clone(),
            running: JoinSet::new(),
            keys: HashMap::new(),
            failures: HashMap::new(),
            own_writes: OwnWrites::default(),
        }
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.concurrency
    }

    #[expect(clippy::cast_precision_loss, reason = "a queue is never that long")]
    fn note_depth(&self) {
        self.metrics
            .depth
            .set([R::KIND.as_str()], self.work.depth() as f64);
    }

    fn start(&mut self, key: Key) {
        let Some(object) = self.store.get(&key) else {
            self.forget(key);
            return;
        };
        if !self.own_writes.are_visible(&key, &self.caches, Instant::now()) {
            self.metrics.postponed.inc([R::KIND.as_str()]);
            self.work.done(key, Some(POSTPONE));
            return;
        }
        let pass = Arc::clone(&self.pass);
        let first_failure = !self.failures.contains_key(&key);
        let named = key.clone();
        let task = self
            .running
            .spawn(async move { pass.run(&named, object, first_failure).await });
        self.keys.insert(task.id(), key);
    }

    fn forget(&mut self, key: Key) {
        self.failures.remove(&key);
        self.own_writes.forget(&key);
        self.pass.reconciler.gone(&key);
        self.work.done(key, None);
    }

    fn ended(&mut self, ended: Result<(Id, Passed), JoinError>) {
        let (id, passed) = match ended {
            Ok((id, passed)) => (id, passed),
            Err(error) => (error.id(), Passed::panicked()),
        };
        let Some(key) = self.keys.remove(&id) else { return };
        self.own_writes.record(&key, passed.wrote, Instant::now());
        let again = match passed.result {
            Ok(report) => {
                self.failures.remove(&key);
                report.requeue
            }
            Err(error) => Some(self.failed(&key, &error)),
        };
        self.work.done(key, again);
    }

    fn failed(&mut self, key: &Key, error: &Error) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        let class = error.class();
        let delay = backoff::spread(backoff::delay(class, *failures), key, *failures);
        *failures = failures.saturating_add(1);
        self.metrics.errors.inc([R::KIND.as_str(), class.label()]);
        let (kind, again_in_ms) = (R::KIND.as_str(), delay.as_millis());
        // Conflicts are daily business: somebody else wrote the object first.
        if class == Class::Conflict {
            tracing::debug!(kind, object = %key, error = %Chain(error), again_in_ms, "reconcile failed");
        } else {
            tracing::warn!(
                kind, object = %key, error = %Chain(error), class = class.label(), failures = *failures, again_in_ms,
                "reconcile failed"
            );
        }
        delay
    }
}

#[cfg(test)]
mod tests;
