//! Manifests of a Workspace that tunes.

use plan::Manifest;
use render::{Hardware, Tuning};

use crate::context::PlanContext;
use crate::desired::DesiredTuning;

/// Renders the objects that tune a preset.
pub(super) fn manifests(
    context: &PlanContext<'_>,
    desired: &DesiredTuning<'_>,
    hardware: &Hardware,
) -> Vec<Manifest> {
    let tuning = Tuning {
        workspace: context.workspace(),
        preset: desired.preset,
        profile: desired.profile,
        method: desired.method,
        tuner: desired.tuner,
        hardware,
        input: desired.input.clone(),
        output: desired.output.clone(),
        platform: &context.platform,
    };
    let uses_defaults = desired.spec.config.is_empty();
    let config = uses_defaults.then(|| render::tuning_config(&tuning).into());
    let rest = [
        render::service(context.workspace(), false).into(),
        render::job(&tuning).into(),
    ];
    config.into_iter().chain(rest).collect()
}
