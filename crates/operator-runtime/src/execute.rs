//! Carries out a plan, step by step in the plan's order ([`Plan::into_steps`]). It decides nothing.

use std::time::Duration;

use plan::outcome::BLOCKED_RETRY;
use plan::{PendingWrite, Plan, Step, Write};

use crate::api_writer::{ApiWriter, WriteResult};
use crate::apply;
use crate::error::Error;
use crate::events::Events;
use crate::finalizer;
use crate::reconciled_object::ReconciledObject;
use crate::runtime::Runtime;

/// Turns plans into requests.
#[derive(Clone)]
pub(crate) struct Executor {
    writer: ApiWriter,
    pub(crate) events: Events,
}

/// Report on a plan that was carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Executed {
    /// Time after which the object is reconciled again even if nothing changes.
    pub(crate) requeue: Option<Duration>,
    /// Marks a plan with an eviction that a disruption budget refused.
    pub(crate) blocked: bool,
}

impl Executed {
    fn requeue_within(&mut self, requeue: Option<Duration>) {
        self.requeue = self.requeue.into_iter().chain(requeue).min();
    }
}

impl Executor {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        Self {
            writer: ApiWriter::new(runtime),
            events: Events::new(runtime.client.clone(), runtime.program),
        }
    }

    /// Carries out `plan` for the reconciled object. Writes are added to `writes`, also when a later step fails; the
    /// first failure ends the reconcile.
    pub(crate) async fn execute<C, F, Fut>(
        &self,
        reconciled: &ReconciledObject<'_>,
        plan: Plan<C>,
        call: F,
        writes: &mut Vec<PendingWrite>,
    ) -> Result<Executed, Error>
    where
        F: FnOnce(C) -> Fut,
        Fut: Future<Output = Result<Option<Duration>, Error>>,
    {
        let mut executed = Executed {
            requeue: plan.requeue,
            blocked: false,
        };
        // A plan has at most one call.
        let mut call = Some(call);
        for step in plan.into_steps() {
            let result = match step {
                Step::EnsureFinalizer(name) => finalizer::ensure(&self.writer, reconciled, name).await?,
                Step::Write(write) => self.write(write).await?,
                Step::Cloud(asked) => {
                    if let Some(call) = call.take() {
                        executed.requeue_within(call(asked).await?);
                    }
                    continue;
                }
                Step::Status(status) => apply::status(&self.writer, reconciled, status).await?,
                Step::ReleaseFinalizer(name) => finalizer::release(&self.writer, reconciled, name).await?,
                Step::Publish(event) => {
                    self.events.publish(reconciled, event).await;
                    continue;
                }
            };
            match result {
                WriteResult::Written(write) => writes.extend(write),
                WriteResult::Absent => {}
                WriteResult::Blocked => {
                    executed.blocked = true;
                    executed.requeue_within(Some(BLOCKED_RETRY));
                }
            }
        }
        Ok(executed)
    }

    async fn write(&self, write: Write) -> Result<WriteResult, Error> {
        match write {
            Write::Apply(manifest) => apply::apply(&self.writer, &manifest).await,
            Write::Delete(delete) => apply::delete(&self.writer, delete).await,
            Write::Patch(patch) => apply::patch(&self.writer, patch).await,
            Write::Evict(evict) => apply::evict(&self.writer, evict).await,
        }
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
