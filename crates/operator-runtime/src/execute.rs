//! Carries out a plan, in the plan's order. It decides nothing; the first failure ends the pass.

use std::time::Duration;

use plan::{Finalizer, Plan};

use crate::apply::{self, Done, Root};
use crate::error::Error;
use crate::events::Events;
use crate::finalizer;
use crate::own_writes::Wrote;
use crate::runtime::Runtime;
use crate::wire::Wire;

/// How soon a refused eviction is asked for again.
const BLOCKED_RETRY: Duration = Duration::from_secs(5);

/// Turns plans into requests.
#[derive(Clone)]
pub(crate) struct Executor {
    pub(crate) wire: Wire,
    pub(crate) events: Events,
}

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// When to look again even if nothing changes.
    pub(crate) requeue: Option<Duration>,
    /// Whether a disruption budget refused an eviction.
    pub(crate) blocked: bool,
}

impl Report {
    fn by(&mut self, requeue: Option<Duration>) {
        self.requeue = self.requeue.into_iter().chain(requeue).min();
    }
}

impl Executor {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        let wire = Wire {
            client: runtime.client.clone(),
            program: runtime.program,
            writes: runtime.metrics.writes.clone(),
        };
        Self {
            wire,
            events: Events::new(runtime.client.clone(), runtime.program),
        }
    }

    /// Carries out `plan` for `root`. What was written is added to `wrote`, also when a later step fails.
    pub(crate) async fn execute<C, F, Fut>(
        &self,
        root: &Root<'_>,
        plan: Plan<C>,
        call: F,
        wrote: &mut Vec<Wrote>,
    ) -> Result<Report, Error>
    where
        F: FnOnce(C) -> Fut,
        Fut: Future<Output = Result<Option<Duration>, Error>>,
    {
        let Plan {
            finalizer,
            writes,
            cloud,
            status,
            events,
            requeue,
            reasons: _,
        } = plan;
        let mut report = Report {
            requeue,
            blocked: false,
        };
        if let Finalizer::Ensure(name) = finalizer {
            wrote.extend(finalizer::ensure(&self.wire, root, name).await?);
        }
        for write in writes {
            self.write(write, wrote, &mut report).await?;
        }
        if let Some(asked) = cloud {
            report.by(call(asked).await?);
        }
        if let Some(status) = status
            && let Done::Wrote(Some(shown)) = apply::status(&self.wire, root, status).await?
        {
            wrote.push(shown);
        }
        if let Finalizer::Release(name) = finalizer {
            wrote.extend(finalizer::release(&self.wire, root, name).await?);
        }
        for note in events {
            self.events.publish(root, note).await;
        }
        Ok(report)
    }

    async fn write(
        &self,
        write: plan::Write,
        wrote: &mut Vec<Wrote>,
        report: &mut Report,
    ) -> Result<(), Error> {
        match apply::write(&self.wire, write).await? {
            Done::Wrote(shown) => wrote.extend(shown),
            Done::Absent => {}
            Done::Blocked => {
                // The other writes go on: one pod's budget must not hold up the other pods.
                report.blocked = true;
                report.by(Some(BLOCKED_RETRY));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
