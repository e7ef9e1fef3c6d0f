//! One reconcile of one object: observe → plan → execute. The next file to read is `execute.rs`.
//!
//! `observe` and `plan` are the [`Reconciler`]'s, so they stand in the program (`reconcile.rs` there). Nothing is
//! kept from one reconcile to the next.

use std::fmt;
use std::sync::Arc;

use kube::Resource as _;
use plan::{PendingWrite, Plan, Reason};
use telemetry::{Operations, Outcome};
use tracing::Instrument as _;

use crate::clock;
use crate::error::Error;
use crate::execute::{Executed, Executor};
use crate::key::Key;
use crate::reconciled_object::ReconciledObject;
use crate::reconciler::Reconciler;
use crate::runtime::Runtime;

/// Everything that any reconcile needs.
pub(crate) struct Reconcile<R> {
    pub(crate) reconciler: R,
    executor: Executor,
    steps: Operations,
}

/// Result of one reconcile.
pub(crate) struct ReconcileOutcome {
    /// Writes that took effect, also when a later step failed.
    pub(crate) writes: Vec<PendingWrite>,
    /// Report of the execution, or the error that ended it.
    pub(crate) result: Result<Executed, Error>,
}

impl ReconcileOutcome {
    /// Returns the outcome of a reconcile that panicked.
    pub(crate) fn panicked() -> Self {
        Self {
            writes: Vec::new(),
            result: Err(Error::Panicked),
        }
    }
}

impl<R: Reconciler> Reconcile<R> {
    pub(crate) fn new(reconciler: R, runtime: &Runtime) -> Self {
        Self {
            reconciler,
            executor: Executor::new(runtime),
            steps: runtime.metrics.reconciles.clone(),
        }
    }

    /// Reconciles one object after this number of failures in a row. The first failure that a person has to repair becomes
    /// an event.
    pub(crate) async fn run(&self, key: &Key, object: Arc<R::Object>, failures: u32) -> ReconcileOutcome {
        let span = tracing::info_span!(
            "reconcile",
            kind = R::KIND.as_str(),
            namespace = key.namespace.as_deref(),
            name = key.name
        );
        async {
            let step = self.steps.start(R::KIND.as_str());
            let reconciled = ReconciledObject {
                target: key.target(R::KIND),
                meta: object.meta(),
                failures,
            };
            let mut writes = Vec::new();
            let result = self.reconcile(&reconciled, &object, &mut writes).await;
            step.finish(match &result {
                Ok((_, outcome)) => *outcome,
                Err(_) => Outcome::Failed,
            });
            ReconcileOutcome {
                writes,
                result: result.map(|(executed, _)| executed),
            }
        }
        .instrument(span)
        .await
    }

    async fn reconcile(
        &self,
        reconciled: &ReconciledObject<'_>,
        object: &Arc<R::Object>,
        writes: &mut Vec<PendingWrite>,
    ) -> Result<(Executed, Outcome), Error> {
        let observed = match self.reconciler.observe(Arc::clone(object)).await {
            Ok(observed) => observed,
            Err(error) => {
                self.executor.publish_failure(reconciled, &error).await;
                return Err(error);
            }
        };
        let now = clock::now();
        let plan = self.reconciler.plan(now, &observed);
        let is_noop = plan.is_noop();
        log(&plan);
        let executed = self
            .executor
            .execute(
                reconciled,
                plan,
                |call| self.reconciler.call(object, call),
                |refusals| self.reconciler.report(now, &observed, refusals),
                writes,
            )
            .await?;
        let outcome = match (is_noop, executed.blocked) {
            (true, _) => Outcome::Quiet,
            (false, true) => Outcome::Blocked,
            (false, false) => Outcome::Changed,
        };
        Ok((executed, outcome))
    }
}

fn log<C>(plan: &Plan<C>) {
    let reasons = Reasons(&plan.reasons);
    let (writes, status) = (plan.writes.len(), plan.status.is_some());
    if plan.is_noop() {
        tracing::debug!(%reasons, requeue = ?plan.requeue, "nothing to do");
    } else {
        tracing::info!(%reasons, writes, status, cloud = plan.cloud.is_some(), requeue = ?plan.requeue, "plan");
    }
}

struct Reasons<'a>(&'a [Reason]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, reason) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "; " };
            write!(f, "{gap}{}: {}", reason.code, reason.detail)?;
        }
        Ok(())
    }
}
