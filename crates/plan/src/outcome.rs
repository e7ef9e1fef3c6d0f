//! Meaning of the API server's refusals, for each way of writing.
//!
//! Both executors ask here, the product's and the simulator's. So they agree on which refusals end a reconcile.

use std::time::Duration;

/// Pause after which a blocked eviction is requested again.
pub const BLOCKED_RETRY: Duration = Duration::from_secs(5);

/// A way of writing to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Server-side apply of a whole object.
    Apply,
    /// Deletion of an object with a UID.
    Delete,
    /// Merge patch of an object with a resource version.
    Patch,
    /// Eviction of a pod with a UID.
    Evict,
    /// Apply of the status of the reconciled object.
    Status,
    /// Addition of our finalizer to the reconciled object.
    EnsureFinalizer,
    /// Removal of our finalizer from the reconciled object.
    ReleaseFinalizer,
}

impl Verb {
    /// Returns a stable word, fit for a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Delete => "delete",
            Self::Patch => "patch",
            Self::Evict => "evict",
            Self::Status => "status",
            Self::EnsureFinalizer | Self::ReleaseFinalizer => "finalizer",
        }
    }
}

/// Meaning of an error for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The error may pass by itself: back off.
    Transient,
    /// The observation is out of date: observe again at once.
    Conflict,
    /// The program lacks a permission: a person has to act.
    Denied,
    /// The request is wrong and stays wrong: a bug of ours.
    Bug,
}

impl FailureClass {
    /// Returns the class of an HTTP status, unless the verb gives it another meaning.
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            409 => Self::Conflict,
            401 | 403 => Self::Denied,
            // 404: a namespace or a CRD that may still appear. 408 and 429: later.
            404 | 408 | 429 => Self::Transient,
            400..=499 => Self::Bug,
            _ => Self::Transient,
        }
    }

    /// Returns a stable word, fit for a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Bug => "bug",
        }
    }
}

/// Meaning of a refused write for the plan that contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The object is gone, as wanted: the plan continues.
    Absent,
    /// A disruption budget forbids the eviction for now. The plan continues, because one pod's budget must not hold up
    /// the other pods; the object is reconciled again after [`BLOCKED_RETRY`].
    Blocked,
    /// The write failed, and the reconcile with it.
    Failed(FailureClass),
}

/// Returns the meaning of an HTTP status that is not a success.
#[must_use]
pub fn outcome(verb: Verb, code: u16) -> WriteOutcome {
    match (verb, code) {
        // 409: another object has the name by now, and the one with our UID is gone.
        (Verb::Delete | Verb::Evict, 404 | 409) => WriteOutcome::Absent,
        (Verb::Status | Verb::ReleaseFinalizer, 404) => WriteOutcome::Absent,
        (Verb::Evict, 429) => WriteOutcome::Blocked,
        // The observed object is gone: another observation helps, a pause does not.
        (Verb::Patch, 404) => WriteOutcome::Failed(FailureClass::Conflict),
        // The server answers a failed JSON patch test with 422: the finalizers have changed since they were observed.
        (Verb::ReleaseFinalizer, 422) => WriteOutcome::Failed(FailureClass::Conflict),
        (_, code) => WriteOutcome::Failed(FailureClass::of(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_classes() {
        for (code, class) in [
            (400, FailureClass::Bug),
            (401, FailureClass::Denied),
            (403, FailureClass::Denied),
            (404, FailureClass::Transient),
            (409, FailureClass::Conflict),
            (422, FailureClass::Bug),
            (429, FailureClass::Transient),
            (500, FailureClass::Transient),
            (504, FailureClass::Transient),
        ] {
            assert_eq!(FailureClass::of(code), class, "{code}");
        }
    }

    #[test]
    fn the_verb_decides_about_absence() {
        use Verb::{Apply, Delete, Evict, Patch, ReleaseFinalizer, Status};
        let check = |verb, code, expected| assert_eq!(outcome(verb, code), expected, "{verb:?} {code}");
        check(Delete, 404, WriteOutcome::Absent);
        check(Delete, 409, WriteOutcome::Absent);
        check(Evict, 429, WriteOutcome::Blocked);
        check(Delete, 429, WriteOutcome::Failed(FailureClass::Transient));
        check(Status, 404, WriteOutcome::Absent);
        check(Status, 409, WriteOutcome::Failed(FailureClass::Conflict));
        check(Patch, 404, WriteOutcome::Failed(FailureClass::Conflict));
        check(Apply, 404, WriteOutcome::Failed(FailureClass::Transient));
        check(
            ReleaseFinalizer,
            422,
            WriteOutcome::Failed(FailureClass::Conflict),
        );
        check(Apply, 422, WriteOutcome::Failed(FailureClass::Bug));
    }
}
