//! The vocabulary that every planner answers in.
//!
//! A [`Plan`] leaves its executor no choice: whole objects, exact names, deletions with the UID they mean, the
//! complete status. Planners are total functions of an observation; nothing here waits, fails or reads a clock.
//!
//! [`Plan::into_steps`] is the order of execution, and [`outcome()`] the meaning of a refused write. [`Execution`] says what
//! is still carried out after one. [`PendingWrites`] are the writes that a cache does not show yet. The runtime and the
//! simulator share all four.

pub mod backoff;
pub mod clock;
pub mod condition;
pub mod drift;
mod execution;
pub mod hash;
pub mod manifest;
pub mod outcome;
pub mod pending;
pub mod refusal;
mod steps;
pub mod text;
pub mod write;

use std::time::Duration;

use serde_json::Value;

pub use execution::{Execution, Report};
pub use kaito_api::event_reasons;
pub use kaito_api::labels::WRITE_FENCE;
pub use manifest::{Kind, Manifest, ObjectRef};
pub use outcome::{FailureClass, Verb, WriteOutcome, outcome};
pub use pending::{PendingWrite, PendingWrites, Visibility};
pub use refusal::RefusedWrite;
pub use steps::Step;
pub use write::{Delete, Evict, MergePatch, Propagation, Write};

/// Decision about one object, and its reasons. `C` is a request to a cloud.
///
/// ```
/// use plan::{Delete, Finalizer, Kind, NoCloud, ObjectRef, Plan, Propagation, Write};
///
/// let mut plan = Plan::<NoCloud> {
///     writes: vec![Write::Delete(Delete {
///         target: ObjectRef {
///             kind: Kind::Job,
///             namespace: Some("default".to_owned()),
///             name: "tuning".to_owned(),
///         },
///         uid: "7d1f4a52".to_owned(),
///         resource_version: None,
///         propagation: Propagation::Background,
///         grace_seconds: None,
///     })],
///     ..Plan::default()
/// };
/// plan.add_reason("spec_changed", "the Job has another image");
/// assert!(!plan.is_noop());
/// assert_eq!(plan.finalizer, Finalizer::Leave);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<C = NoCloud> {
    /// Change of our finalizer. `Ensure` comes before every other step, `Release` after every other write.
    pub finalizer: Finalizer,
    /// Writes, in the order of execution.
    pub writes: Vec<Write>,
    /// Call to the cloud, at most one in a reconcile, after the writes.
    pub cloud: Option<C>,
    /// The complete `status` of the object, written after the call; `None` if the object has it already.
    pub status: Option<Value>,
    /// Kubernetes Events, published after the status is written.
    pub events: Vec<Event>,
    /// Time after which the object is reconciled again even if nothing changes; `None` waits for a change.
    pub requeue: Option<Duration>,
    /// Reasons, in order of importance: a log line, and a test's assertion message.
    pub reasons: Vec<Reason>,
}

impl<C> Default for Plan<C> {
    fn default() -> Self {
        Self {
            finalizer: Finalizer::Leave,
            writes: Vec::new(),
            cloud: None,
            status: None,
            events: Vec::new(),
            requeue: None,
            reasons: Vec::new(),
        }
    }
}

impl<C> Plan<C> {
    /// Returns true if carrying the plan out writes nothing anywhere.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.finalizer == Finalizer::Leave
            && self.writes.is_empty()
            && self.cloud.is_none()
            && self.status.is_none()
    }

    /// Adds a reason.
    pub fn add_reason(&mut self, code: &'static str, detail: impl Into<String>) {
        self.reasons.push(Reason {
            code,
            detail: detail.into(),
        });
    }
}

/// The cloud of planners that have none: it has no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCloud {}

/// Change of our finalizer on the planned object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// No change.
    Leave,
    /// Add it if it is missing.
    Ensure(&'static str),
    /// Remove it: nothing of the object is left anywhere.
    Release(&'static str),
}

/// One reason for a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable word in snake_case, fit for a metric label.
    pub code: &'static str,
    /// Particulars, for people.
    pub detail: String,
}

/// A Kubernetes Event to publish about the planned object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Marks an event that a person should look at.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// Text: what was done or is wrong, and what helps. It is cut to 1 kB when published.
    pub message: String,
}

impl Event {
    /// Returns an event that shows progress.
    #[must_use]
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason,
            message: message.into(),
        }
    }

    /// Returns an event that a person should look at.
    #[must_use]
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason,
            message: message.into(),
        }
    }
}
