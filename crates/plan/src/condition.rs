//! A condition as a planner wants it, before it has a type and a time.

use kaito_api::conditions::{ClaimReason, RefusalReason, Status, WorkspaceReason};

use crate::text::with_remedy;

/// A reason from a closed set that names the remedy of each.
pub trait ConditionReason: Copy {
    /// Returns the CamelCase word that stands in the object.
    fn as_str(self) -> &'static str;

    /// Returns the sentence that says what helps; empty where nothing is wrong.
    fn remedy(self) -> &'static str;
}

impl ConditionReason for WorkspaceReason {
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }

    fn remedy(self) -> &'static str {
        Self::remedy(self)
    }
}

impl ConditionReason for ClaimReason {
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }

    fn remedy(self) -> &'static str {
        Self::remedy(self)
    }
}

impl ConditionReason for RefusalReason {
    fn as_str(self) -> &'static str {
        Self::as_str(self)
    }

    fn remedy(self) -> &'static str {
        Self::remedy(self)
    }
}

/// Status, reason and message of one condition. `R` is the set that the reason comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUpdate<R> {
    /// Status of the condition.
    pub status: Status,
    /// Reason; `None` where the condition's type says everything.
    pub reason: Option<R>,
    /// Text for people: the cause, then the remedy.
    pub message: String,
}

impl<R: ConditionReason> ConditionUpdate<R> {
    /// Returns `True` without a reason.
    #[must_use]
    pub fn done() -> Self {
        Self {
            status: Status::True,
            reason: None,
            message: String::new(),
        }
    }

    /// Returns `True` with a reason.
    #[must_use]
    pub fn met(reason: impl Into<R>, message: impl Into<String>) -> Self {
        Self {
            status: Status::True,
            reason: Some(reason.into()),
            message: message.into(),
        }
    }

    /// Returns `False`: the condition does not hold. The reason's remedy is added to the cause.
    #[must_use]
    pub fn unmet(reason: impl Into<R>, cause: impl AsRef<str>) -> Self {
        let reason = reason.into();
        Self {
            status: Status::False,
            reason: Some(reason),
            message: with_remedy(cause.as_ref(), reason.remedy()),
        }
    }

    /// Returns `Unknown`: not done yet, and nothing is known to be wrong. The reason's remedy is added to the cause.
    #[must_use]
    pub fn pending(reason: impl Into<R>, cause: impl AsRef<str>) -> Self {
        Self {
            status: Status::Unknown,
            ..Self::unmet(reason, cause)
        }
    }

    /// Returns true if the condition holds.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == Status::True
    }

    /// Returns true if the reason has a remedy: a person should act, or at least know.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        self.reason.is_some_and(|reason| !reason.remedy().is_empty())
    }

    /// Returns the reason as it stands in the object; empty without one.
    #[must_use]
    pub fn reason_str(&self) -> &'static str {
        self.reason.map_or("", ConditionReason::as_str)
    }
}
