//! Requirements of the image of the engine on GPUs, and the tools that it lacks.
//!
//! A running workload has proved that it works, and a user may overrule the check.

use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use preset_catalog::InferenceProfile;
use render::Hardware;

use crate::context::PlanContext;
use crate::fits::{self, NodeWork};
use crate::problem::Problem;

/// Checks the GPUs, as far as their compute capability is known, and the tools of the image.
///
/// # Errors
/// With the reason, and what would work.
pub(super) fn check(
    context: &PlanContext<'_>,
    work: NodeWork<'_>,
    profile: Option<&InferenceProfile>,
    hardware: &Hardware,
) -> Result<(), Problem> {
    let is_bypassed = context.workspace().is_annotated(labels::BYPASS_RESOURCE_CHECKS);
    if context.workload.is_some() || is_bypassed {
        return Ok(());
    }
    let engine = context.settings.engine;
    let subject = match work {
        NodeWork::Template => return Ok(()),
        NodeWork::Inference { preset, .. } => format!("preset {}", preset.name),
        NodeWork::Tuning(preset) => format!("tuning of preset {}", preset.name),
    };
    if profile.is_some_and(|profile| profile.needs_cuda_toolkit) && !engine.cuda_toolkit {
        let cause = format!(
            "{subject} needs the CUDA toolkit, which image {} lacks",
            context.settings.images.base
        );
        return Err(Problem::new(WorkspaceReason::EngineLacksToolkit, cause));
    }
    let of_model = profile.and_then(|profile| profile.min_compute_capability);
    let needed = of_model.max(engine.min_compute_capability);
    let known = needed.zip(hardware.compute_capability);
    let Some((needed, available)) = known.filter(|(needed, available)| available < needed) else {
        return Ok(());
    };
    let where_ = match hardware.instance_type.as_str() {
        "" => "the nodes have",
        name => &format!("{name} has"),
    };
    let cause = format!(
        "{subject} needs GPUs of compute capability {needed}, and {where_} {available}{}",
        fits::would_work(context, work)
    );
    Err(Problem::new(WorkspaceReason::GpuTooOld, cause))
}
