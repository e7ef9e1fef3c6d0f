//! The words every planner answers in.
//!
//! A [`Plan`] leaves its executor nothing to choose: whole objects, exact names, deletions with the UID they
//! mean, the exact status. Planners are total functions of what was observed; nothing here waits, fails or
//! reads a clock.

pub mod backoff;
pub mod condition;
pub mod drift;
pub mod hash;
pub mod manifest;
pub mod text;
pub mod write;

use std::time::Duration;

use serde_json::Value;

pub use manifest::{Kind, Manifest, ObjectRef};
pub use write::{Delete, Evict, MergePatch, Propagation, Write};

/// What to do about one object, and why. `C` is what the planner may ask of a cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<C = NoCloud> {
    /// What happens to the finalizer of the planned object. `Ensure` is carried out before everything else,
    /// `Release` after everything else.
    pub finalizer: Finalizer,
    /// Writes, carried out in this order; the first failure ends the pass.
    pub writes: Vec<Write>,
    /// At most one call to the cloud a pass, after the writes.
    pub cloud: Option<C>,
    /// The complete `status` the object is to have, after the writes; `None` when it already has it.
    pub status: Option<Value>,
    /// What people are told, after the status is written.
    pub events: Vec<Event>,
    /// When to look again even if nothing changes; `None` waits for a change.
    pub requeue: Option<Duration>,
    /// Why, in order of importance: log line, and a test's assertion message.
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

/// What happens to the finalizer of the planned object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// Nothing.
    Leave,
    /// Add it if it is missing.
    Ensure(&'static str),
    /// Remove it: nothing of the object is left anywhere.
    Release(&'static str),
}

/// One reason for a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable word, fit for a metric label.
    pub code: &'static str,
    /// The particulars.
    pub detail: String,
}

/// A Kubernetes Event to publish about the planned object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Something a person should look at.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// What was done or is wrong, and what helps; cut to 1 kB when published.
    pub message: String,
}

impl Event {
    /// An event that tells of progress.
    #[must_use]
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason,
            message: message.into(),
        }
    }

    /// An event that a person should look at.
    #[must_use]
    pub fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason,
            message: message.into(),
        }
    }
}
