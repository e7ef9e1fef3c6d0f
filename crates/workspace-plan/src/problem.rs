//! Problems of a Workspace, which conditions and events report.

use kaito_api::conditions::WorkspaceReason;
use plan::condition::ConditionReason as _;
use preset_catalog::Preset;
use preset_catalog::estimate::Misfit;
use render::Hardware;

use crate::condition::{AnyReason, ConditionUpdate};

/// One problem that prevents or limits what the Workspace asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: AnyReason,
    /// The cause, without the remedy. It contains nothing that changes by itself.
    pub(crate) cause: String,
}

impl Problem {
    pub(crate) fn new(reason: impl Into<AnyReason>, cause: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
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
            | Misfit::FixedDivision { .. }
            | Misfit::NotDistributed { .. }
            | Misfit::HostMemoryTooSmall { .. } => WorkspaceReason::ModelDoesNotFit,
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
