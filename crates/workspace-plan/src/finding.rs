//! What is so, why, and what helps: one condition before it has a type and a time.

use kaito_api::conditions::{ClaimReason, WorkspaceReason};
use plan::condition::ConditionReason;

/// A reason from either closed set: what ails a claim is told of its Workspace in the same word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AnyReason {
    Workspace(WorkspaceReason),
    Claim(ClaimReason),
}

impl ConditionReason for AnyReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Workspace(reason) => reason.as_str(),
            Self::Claim(reason) => reason.as_str(),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Workspace(reason) => reason.remedy(),
            Self::Claim(reason) => reason.remedy(),
        }
    }
}

impl From<WorkspaceReason> for AnyReason {
    fn from(reason: WorkspaceReason) -> Self {
        Self::Workspace(reason)
    }
}

impl From<ClaimReason> for AnyReason {
    fn from(reason: ClaimReason) -> Self {
        Self::Claim(reason)
    }
}

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: WorkspaceReason,
    /// What is wrong, without the remedy. Holds nothing that changes by itself.
    pub(crate) what: String,
}

impl Problem {
    pub(crate) fn new(reason: WorkspaceReason, what: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
        }
    }

    /// The finding that this stands in the way.
    pub(crate) fn finding(&self) -> ConditionUpdate {
        ConditionUpdate::unmet(self.reason, &self.what)
    }

    /// For the end of another message.
    pub(crate) fn note(&self) -> String {
        format!("{}: {}", self.reason.as_str(), self.finding().message)
    }
}

/// A condition whose reason is from either set.
pub(crate) type ConditionUpdate = plan::condition::ConditionUpdate<AnyReason>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_added_once() {
        let reason = WorkspaceReason::PresetDeprecated;
        assert_eq!(
            ConditionUpdate::unmet(reason, "old").message,
            "old. Choose another preset."
        );
        assert_eq!(
            ConditionUpdate::unmet(reason, "Is it old?").message,
            "Is it old? Choose another preset."
        );
        assert_eq!(
            ConditionUpdate::unmet(reason, "old. Choose another preset.").message,
            "old. Choose another preset."
        );
        assert_eq!(
            ConditionUpdate::unmet(WorkspaceReason::NodesNotReady, "0 of 1").message,
            "0 of 1"
        );
    }
}
