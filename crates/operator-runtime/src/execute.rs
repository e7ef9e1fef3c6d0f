//! Carries out a plan, step by step in the plan's order ([`Plan::into_steps`]). It decides nothing.
//!
//! [`Execution`] says which steps a refused write prevents. The planner's [`Report`] says what the status shows of it.

use std::time::Duration;

use plan::event_reasons::RECONCILE_FAILED;
use plan::outcome::BLOCKED_RETRY;
use plan::{Event, Execution, FailureClass, PendingWrite, Plan, RefusedWrite, Report, Step, Write};

use crate::api_writer::{ApiWriter, WriteResult};
use crate::apply;
use crate::error::{Chain, Error};
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
    fn add(&mut self, result: WriteResult, writes: &mut Vec<PendingWrite>) {
        match result {
            WriteResult::Written(write) => writes.extend(write),
            WriteResult::Absent => {}
            WriteResult::Blocked => {
                self.blocked = true;
                self.requeue_within(Some(BLOCKED_RETRY));
            }
        }
    }

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

    /// Carries out `plan` for the reconciled object. `report` is asked about refused writes. Writes that took effect are
    /// added to `writes`.
    ///
    /// # Errors
    /// With the failure that is retried soonest.
    pub(crate) async fn execute<C, F, Fut>(
        &self,
        reconciled: &ReconciledObject<'_>,
        plan: Plan<C>,
        call: F,
        report: impl FnOnce(&[RefusedWrite]) -> Report,
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
        let mut execution = Execution::after(reconciled.failures);
        let mut failure = None;
        // A plan has at most one call.
        let mut call = Some(call);
        for step in plan.into_steps() {
            if !execution.permits(&step) {
                continue;
            }
            let subject = step.write(&reconciled.target);
            let result = match step {
                Step::EnsureFinalizer(name) => finalizer::ensure(&self.writer, reconciled, name).await,
                Step::Write(write) => self.write(write).await,
                Step::Cloud(asked) => {
                    if let Some(call) = call.take() {
                        executed.requeue_within(call(asked).await?);
                    }
                    continue;
                }
                Step::Status(status) => apply::status(&self.writer, reconciled, status).await,
                Step::ReleaseFinalizer(name) => finalizer::release(&self.writer, reconciled, name).await,
                Step::Publish(event) => {
                    self.events.publish(reconciled, event).await;
                    continue;
                }
            };
            match (result, subject) {
                (Ok(result), _) => executed.add(result, writes),
                (Err(error), Some((verb, target))) => {
                    execution.record(error.refusal(verb, target));
                    failure = Some(error.sooner(failure));
                }
                (Err(error), None) => return Err(error),
            }
        }
        let Some(failure) = failure else {
            return Ok(executed);
        };
        let report = execution.reportable().map(|refusals| report(&refusals));
        match report.filter(|report| *report != Report::default()) {
            Some(report) => match self.report(reconciled, report, writes).await {
                Ok(()) => Err(failure),
                Err(error) => Err(error.sooner(Some(failure))),
            },
            None => {
                self.publish_failure(reconciled, &failure).await;
                Err(failure)
            }
        }
    }

    /// Publishes the first failure in a row that a person has to repair.
    pub(crate) async fn publish_failure(&self, reconciled: &ReconciledObject<'_>, error: &Error) {
        let is_lasting = matches!(error.class(), FailureClass::Denied | FailureClass::Bug);
        if is_lasting && reconciled.failures == 0 {
            let event = Event::warning(RECONCILE_FAILED, Chain(error).to_string());
            self.events.publish(reconciled, event).await;
        }
    }

    /// Writes what the status shows of refused writes.
    async fn report(
        &self,
        reconciled: &ReconciledObject<'_>,
        report: Report,
        writes: &mut Vec<PendingWrite>,
    ) -> Result<(), Error> {
        if let Some(status) = report.status {
            let result = apply::status(&self.writer, reconciled, status).await?;
            Executed::default().add(result, writes);
        }
        for event in report.events {
            self.events.publish(reconciled, event).await;
        }
        Ok(())
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
