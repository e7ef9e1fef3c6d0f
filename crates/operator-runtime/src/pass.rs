//! One pass over one object: observe, plan, execute. It keeps nothing from one pass to the next.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Resource as _;
use plan::{Event, Plan, Reason};
use telemetry::{Outcome, Steps};
use tracing::Instrument as _;

use crate::apply::Root;
use crate::error::{Chain, Class, Error};
use crate::execute::{Executor, Report};
use crate::key::Key;
use crate::own_writes::Wrote;
use crate::reconciler::Reconciler;
use crate::runtime::Runtime;

/// What is needed for any pass.
pub(crate) struct Pass<R> {
    pub(crate) reconciler: R,
    executor: Executor,
    steps: Steps,
}

/// What a pass leaves behind.
pub(crate) struct Passed {
    /// What it wrote, also when it failed later.
    pub(crate) wrote: Vec<Wrote>,
    /// How it ended.
    pub(crate) result: Result<Report, Error>,
}

impl Passed {
    /// The pass was cut short by a panic.
    pub(crate) fn panicked() -> Self {
        Self {
            wrote: Vec::new(),
            result: Err(Error::Panicked),
        }
    }
}

impl<R: Reconciler> Pass<R> {
    pub(crate) fn new(reconciler: R, runtime: &Runtime) -> Self {
        Self {
            reconciler,
            executor: Executor::new(runtime),
            steps: runtime.metrics.reconciles.clone(),
        }
    }

    /// Looks at the object and does what is to be done. Failures that a person should see become an event, the
    /// first time in a row.
    pub(crate) async fn run(&self, key: &Key, object: Arc<R::Object>, first_failure: bool) -> Passed {
        let span = tracing::info_span!(
            "reconcile",
            kind = R::KIND.as_str(),
            namespace = key.namespace.as_deref(),
            name = key.name
        );
        async {
            let step = self.steps.start(R::KIND.as_str());
            let root = Root {
                target: key.target(R::KIND),
                meta: object.meta(),
            };
            let mut wrote = Vec::new();
            let result = self.reconcile(&root, &object, &mut wrote).await;
            step.finish(match &result {
                Ok((_, outcome)) => *outcome,
                Err(_) => Outcome::Failed,
            });
            if let Err(error) = &result
                && first_failure
            {
                self.tell(&root, error).await;
            }
            Passed {
                wrote,
                result: result.map(|(report, _)| report),
            }
        }
        .instrument(span)
        .await
    }

    async fn reconcile(
        &self,
        root: &Root<'_>,
        object: &Arc<R::Object>,
        wrote: &mut Vec<Wrote>,
    ) -> Result<(Report, Outcome), Error> {
        let observed = self.reconciler.observe(Arc::clone(object)).await?;
        let plan = self.reconciler.plan(Timestamp::now(), &observed);
        drop(observed);
        let quiet = plan.is_noop();
        note(&plan);
        let report = self
            .executor
            .execute(root, plan, |call| self.reconciler.call(object, call), wrote)
            .await?;
        let outcome = match (quiet, report.blocked) {
            (true, _) => Outcome::Quiet,
            (false, true) => Outcome::Blocked,
            (false, false) => Outcome::Changed,
        };
        Ok((report, outcome))
    }

    async fn tell(&self, root: &Root<'_>, error: &Error) {
        if matches!(error.class(), Class::Denied | Class::Bug) {
            let note = Event::warning("ReconcileFailed", Chain(error).to_string());
            self.executor.events.publish(root, note).await;
        }
    }
}

fn note<C>(plan: &Plan<C>) {
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
