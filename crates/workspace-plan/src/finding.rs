//! Problems of a Workspace, and the conditions that report them.

use kaito_api::conditions::{ClaimReason, WorkspaceReason};
use plan::condition::ConditionReason;
use preset_catalog::Preset;
use preset_catalog::estimate::Misfit;
use render::Hardware;

/// A reason from either closed set. A Workspace condition reuses the claim's reason, so users see one word for one
/// problem.
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

/// A condition whose reason is from either set.
pub(crate) type ConditionUpdate = plan::condition::ConditionUpdate<AnyReason>;

/// One problem that prevents or limits what the Workspace asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: WorkspaceReason,
    /// The cause, without the remedy. It contains nothing that changes by itself.
    pub(crate) cause: String,
}

impl Problem {
    pub(crate) fn new(reason: WorkspaceReason, cause: impl Into<String>) -> Self {
        Self {
            reason,
            cause: cause.into(),
        }
    }

    /// A spec that cannot be carried out.
    pub(crate) fn invalid(cause: impl Into<String>) -> Self {
        Self::new(WorkspaceReason::InvalidSpec, cause)
    }

    /// A preset that cannot do what the spec asks.
    pub(crate) fn unsuitable(preset: &Preset, cause: &str) -> Self {
        Self::new(
            WorkspaceReason::PresetUnsuitable,
            format!("preset {} {cause}", preset.name),
        )
    }

    /// A preset that does not fit the hardware.
    pub(crate) fn misfit(preset: &Preset, hardware: &Hardware, misfit: &Misfit) -> Self {
        let reason = match misfit {
            Misfit::NotServed | Misfit::NotTunable => WorkspaceReason::PresetUnsuitable,
            Misfit::NoGpu
            | Misfit::GpuTooSmall { .. }
            | Misfit::PartTooLarge { .. }
            | Misfit::NotDistributed { .. } => WorkspaceReason::ModelDoesNotFit,
        };
        let on = if hardware.instance_type.is_empty() {
            "the nodes"
        } else {
            &hardware.instance_type
        };
        Self::new(reason, format!("preset {} on {on}: {misfit}", preset.name))
    }

    /// The condition that reports the problem.
    pub(crate) fn condition(&self) -> ConditionUpdate {
        ConditionUpdate::unmet(self.reason, &self.cause)
    }

    /// The problem as a note at the end of another message.
    pub(crate) fn note(&self) -> String {
        format!("{}: {}", self.reason.as_str(), self.condition().message)
    }
}

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
