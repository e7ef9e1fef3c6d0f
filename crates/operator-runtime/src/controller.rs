//! The loop that takes due keys from the queue and reconciles them: concurrency, requeues, and the cost of failures.
//!
//! It owns all bookkeeping. Reconciles run beside it, never two of one object; `reconcile.rs` is one of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Resource as _;
use kube::core::ObjectMeta;
use plan::{FailureClass, PendingWrites, Visibility};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff;
use crate::cache::Cache;
use crate::caches::Caches;
use crate::cooldown::Cooldowns;
use crate::error::{Chain, Error};
use crate::health::Health;
use crate::key::Key;
use crate::metrics::RuntimeMetrics;
use crate::queue::WorkQueue;
use crate::reconcile::{Reconcile, ReconcileOutcome};
use crate::reconciler::Reconciler;
use crate::runtime::Runtime;

/// Pause before a postponed reconcile is tried again.
const POSTPONE: Duration = Duration::from_millis(100);

/// Settings of a controller.
#[derive(Clone, Copy, Debug)]
pub struct ControllerSettings {
    /// Number of objects that are reconciled at once.
    pub concurrency: usize,
    /// Time for which an object rests after a reconcile that wrote, so that changes of other objects share the next one. A
    /// change of the object itself ends it.
    pub rest: Duration,
}

impl Default for ControllerSettings {
    fn default() -> Self {
        Self {
            concurrency: 16,
            rest: Duration::ZERO,
        }
    }
}

/// One kind of object, ready to be reconciled.
#[derive(Debug)]
pub struct Controller<R: Reconciler> {
    /// Observes and decides.
    pub reconciler: R,
    /// The reconciled objects.
    pub cache: Cache<R::Object>,
    /// All caches that the reconciler observes, `cache` among them.
    pub caches: Caches,
    /// Keys of the objects to reconcile.
    pub queue: WorkQueue,
    /// Settings of the loop.
    pub settings: ControllerSettings,
}

impl<R: Reconciler> Controller<R> {
    /// Reconciles until the token is canceled, then waits for the reconciles under way. Call it after
    /// [`Caches::ready`] has returned.
    pub async fn run(self, runtime: &Runtime, token: CancellationToken) {
        let mut controller = ControllerLoop::new(self, runtime);
        controller.add_checks(&runtime.health);
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => break,
                Some(ended) = controller.running.join_next_with_id() => controller.finish(ended),
                key = controller.queue.next(), if controller.has_room() => controller.start(key),
            }
            controller.report_depth();
        }
        tracing::info!(
            kind = R::KIND.as_str(),
            running = controller.running.len(),
            "stopped taking keys"
        );
        while let Some(ended) = controller.running.join_next_with_id().await {
            controller.finish(ended);
        }
    }
}

struct ControllerLoop<R: Reconciler> {
    reconcile: Arc<Reconcile<R>>,
    cache: Cache<R::Object>,
    caches: Caches,
    queue: WorkQueue,
    settings: ControllerSettings,
    metrics: RuntimeMetrics,
    running: JoinSet<ReconcileOutcome>,
    /// Objects that are reconciled now.
    keys: HashMap<Id, (Key, Arc<R::Object>)>,
    started: Started,
    /// Failures in a row.
    failures: HashMap<Key, u32>,
    cooldowns: Cooldowns,
    pending_writes: PendingWrites<Key, Instant>,
}

impl<R: Reconciler> ControllerLoop<R> {
    fn new(controller: Controller<R>, runtime: &Runtime) -> Self {
        let Controller {
            reconciler,
            cache,
            caches,
            queue,
            settings,
        } = controller;
        Self {
            reconcile: Arc::new(Reconcile::new(reconciler, runtime)),
            cache,
            caches,
            queue,
            settings,
            metrics: runtime.metrics.clone(),
            running: JoinSet::new(),
            keys: HashMap::new(),
            started: Started::default(),
            failures: HashMap::new(),
            cooldowns: Cooldowns::default(),
            pending_writes: PendingWrites::default(),
        }
    }

    /// Adds checks that fail if a reconcile does not end, or the queue does not move.
    fn add_checks(&self, health: &Health) {
        let (kind, limit, started) = (R::KIND.as_str(), health.reconcile_limit, self.started.clone());
        let checks = &health.liveness;
        checks.add(format!("queue of {kind}"), self.queue.moves(limit));
        checks.add(format!("reconciles of {kind}"), move || {
            started.ended_within(limit)
        });
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.settings.concurrency.max(1)
    }

    #[expect(clippy::cast_precision_loss, reason = "a queue is never that long")]
    fn report_depth(&self) {
        self.metrics
            .depth
            .set([R::KIND.as_str()], self.queue.depth() as f64);
    }

    fn start(&mut self, key: Key) {
        let Some(object) = self.cache.get(&key) else {
            self.forget(key);
            return;
        };
        if let Some(left) = self.cooldowns.left(&key, object.meta(), Instant::now()) {
            self.queue.done(key, Some(left));
            return;
        }
        if self.awaits_own_writes(&key) {
            self.metrics.postponed.inc([R::KIND.as_str()]);
            self.queue.done(key, Some(POSTPONE));
            return;
        }
        let reconcile = Arc::clone(&self.reconcile);
        let failures = self.failures.get(&key).copied().unwrap_or_default();
        let (named, reconciled) = (key.clone(), Arc::clone(&object));
        let task = self
            .running
            .spawn(async move { reconcile.run(&named, reconciled, failures).await });
        self.started.insert(key.clone());
        self.keys.insert(task.id(), (key, object));
    }

    fn awaits_own_writes(&mut self, key: &Key) -> bool {
        let caches = &self.caches;
        let visibility = self
            .pending_writes
            .visibility(key, |write| caches.shows(write), Instant::now());
        if let Visibility::Overdue(missing) = &visibility {
            tracing::warn!(
                object = %key, ?missing, waited = ?plan::pending::PATIENCE,
                "cache has not shown our writes, reconciling anyway"
            );
        }
        visibility == Visibility::Awaited
    }

    fn forget(&mut self, key: Key) {
        self.failures.remove(&key);
        self.cooldowns.forget(&key);
        self.pending_writes.forget(&key);
        self.reconcile.reconciler.on_deleted(&key);
        self.queue.done(key, None);
    }

    fn finish(&mut self, ended: Result<(Id, ReconcileOutcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), ReconcileOutcome::panicked()),
        };
        let Some((key, object)) = self.keys.remove(&id) else {
            return;
        };
        self.started.remove(&key);
        let has_written = !outcome.writes.is_empty();
        self.pending_writes
            .record(key.clone(), outcome.writes, Instant::now());
        let requeue = match outcome.result {
            Ok(executed) => {
                self.failures.remove(&key);
                let rest = if has_written {
                    self.settings.rest
                } else {
                    Duration::ZERO
                };
                self.cooldowns.rest(&key, object.meta(), rest, Instant::now());
                executed.requeue
            }
            Err(error) => Some(self.record_failure(&key, object.meta(), &error)),
        };
        self.queue.done(key, requeue);
    }

    fn record_failure(&mut self, key: &Key, object: &ObjectMeta, error: &Error) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        let class = error.class();
        let delay = backoff::delay(class, *failures).max(backoff::asked(error.retry_after()));
        let delay = backoff::spread(delay, key, *failures);
        *failures = failures.saturating_add(1);
        self.cooldowns.record(key, class, object, delay, Instant::now());
        self.metrics.errors.inc([R::KIND.as_str(), class.label()]);
        let (kind, retry_in_ms) = (R::KIND.as_str(), delay.as_millis());
        // Conflicts are normal: another writer was faster.
        if class == FailureClass::Conflict {
            tracing::debug!(kind, object = %key, error = %Chain(error), retry_in_ms, "failed to reconcile object");
        } else {
            tracing::warn!(
                kind, object = %key, error = %Chain(error), class = class.label(), failures = *failures, retry_in_ms,
                "failed to reconcile object"
            );
        }
        delay
    }
}

/// Start of each running reconcile; clones share it.
#[derive(Clone, Debug, Default)]
struct Started(Arc<Mutex<HashMap<Key, Instant>>>);

impl Started {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, key: Key) {
        self.lock().insert(key, Instant::now());
    }

    fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn ended_within(&self, limit: Duration) -> Result<(), String> {
        let started = self.lock();
        let Some((key, start)) = started.iter().min_by_key(|(_, start)| **start) else {
            return Ok(());
        };
        if start.elapsed() <= limit {
            return Ok(());
        }
        Err(format!(
            "the reconcile of {key} runs for {} s",
            start.elapsed().as_secs()
        ))
    }
}

#[cfg(test)]
mod tests;
