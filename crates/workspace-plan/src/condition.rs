//! Condition updates of a Workspace.

use kaito_api::conditions::{ClaimReason, RefusalReason, WorkspaceReason};
use plan::condition::ConditionReason;

/// A reason from any of the closed sets. A Workspace condition reuses the claim's reason, so users see one word for one
/// problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AnyReason {
    Workspace(WorkspaceReason),
    Claim(ClaimReason),
    RefusedWrite(RefusalReason),
}

impl ConditionReason for AnyReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Workspace(reason) => reason.as_str(),
            Self::Claim(reason) => reason.as_str(),
            Self::RefusedWrite(reason) => reason.as_str(),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Workspace(reason) => reason.remedy(),
            Self::Claim(reason) => reason.remedy(),
            Self::RefusedWrite(reason) => reason.remedy(),
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

impl From<RefusalReason> for AnyReason {
    fn from(reason: RefusalReason) -> Self {
        Self::RefusedWrite(reason)
    }
}

/// A condition whose reason is from any of the sets.
pub(crate) type ConditionUpdate = plan::condition::ConditionUpdate<AnyReason>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_added_once() {
        let check = |reason: WorkspaceReason, cause, expected| {
            assert_eq!(ConditionUpdate::unmet(reason, cause).message, expected);
        };
        let reason = WorkspaceReason::PresetDeprecated;
        check(reason, "old", "old. Choose another preset.");
        check(reason, "Is it old?", "Is it old? Choose another preset.");
        check(
            reason,
            "old. Choose another preset.",
            "old. Choose another preset.",
        );
        check(WorkspaceReason::NodesNotReady, "0 of 1", "0 of 1");
    }
}
