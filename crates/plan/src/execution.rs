//! The course of one execution: which steps are still carried out after a refused write, and what is reported of it.
//!
//! A refusal must not hold up independent writes, must not let a dependent step happen, and must be visible in the
//! status. The runtime and the simulator both ask here.

use serde_json::Value;

use crate::{Event, Kind, RefusedWrite, Step, Verb, Write};

/// Number of refusals in one reconcile after which no other write is tried.
const MOST_REFUSALS: usize = 8;
/// Number of failed attempts in a row after which a refusal that may end by itself is reported.
const PATIENT_ATTEMPTS: u32 = 3;

/// Answer of a planner to refused writes: what the object's status should say, and new events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The complete status; `None` if the object has it already.
    pub status: Option<Value>,
    /// Events about what is new.
    pub events: Vec<Event>,
}

/// The course of one execution of a plan.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    /// Failed attempts in a row before this one.
    failures: u32,
    refusals: Vec<RefusedWrite>,
    /// Set if the remaining writes depend on one that was refused.
    writes_end: bool,
    /// Set if a revision was refused: the workload that it records is not written then.
    is_unrecorded: bool,
}

impl Execution {
    /// Starts an execution after this number of failed attempts in a row.
    #[must_use]
    pub fn after(failures: u32) -> Self {
        Self {
            failures,
            ..Self::default()
        }
    }

    /// Reports whether the step is to be carried out.
    ///
    /// Calls to a cloud and the release of a finalizer rely on all writes before them. The status and the events of the
    /// plan describe a success; after a refusal the planner's [`Report`] takes their place.
    #[must_use]
    pub fn permits<C>(&self, step: &Step<C>) -> bool {
        match step {
            Step::EnsureFinalizer(_) => true,
            Step::Write(Write::Apply(manifest)) if has_revisions(manifest.kind()) => {
                !self.writes_end && !self.is_unrecorded
            }
            Step::Write(_) => !self.writes_end,
            Step::Cloud(_) | Step::Status(_) | Step::ReleaseFinalizer(_) | Step::Publish(_) => {
                self.refusals.is_empty()
            }
        }
    }

    /// Records a refused write.
    ///
    /// Whole objects, deletions and evictions are independent of each other. A patch is not: a Node is tainted before its
    /// pods are evicted. A workload follows its revision: one that runs without a record is not known later.
    /// Nothing is written without our finalizer, and a server that does not respond is left alone.
    pub fn record(&mut self, refusal: RefusedWrite) {
        let is_base = matches!(refusal.verb, Verb::EnsureFinalizer | Verb::Patch);
        let is_general = refusal.reason.is_server_wide();
        self.is_unrecorded |= refusal.target.kind == Kind::ControllerRevision && refusal.verb == Verb::Apply;
        self.refusals.push(refusal);
        self.writes_end |= is_base || is_general || self.refusals.len() >= MOST_REFUSALS;
    }

    /// Returns the refusals that the status should show; `None` if nothing is to be reported.
    ///
    /// Refusals that may end by themselves are shown after some failed attempts in a row. A status that shows one already
    /// is left as it is until then, also after a restart.
    #[must_use]
    pub fn reportable(&self) -> Option<Vec<RefusedWrite>> {
        let is_shown = |refusal: &&RefusedWrite| {
            // The server refuses the status of an object that it will not let us write at all.
            let is_status = refusal.verb == Verb::Status;
            !is_status && (self.failures >= PATIENT_ATTEMPTS || !refusal.reason.is_transient())
        };
        let shown: Vec<RefusedWrite> = self.refusals.iter().filter(is_shown).cloned().collect();
        (!shown.is_empty()).then_some(shown)
    }
}

/// Returns true for the kinds whose renderings are recorded.
fn has_revisions(kind: Kind) -> bool {
    matches!(kind, Kind::Deployment | Kind::StatefulSet)
}

#[cfg(test)]
mod tests;
