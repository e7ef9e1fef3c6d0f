//! Manifests of a Workspace that tunes.

use plan::Manifest;
use render::{Exposure, Hardware, Transport, Tuner, Tuning};

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
        config_hash: desired.config_hash.clone(),
        input: desired.input.clone(),
        output: desired.output.clone(),
        platform: &context.platform,
    };
    let uses_defaults = desired.spec.config.is_empty();
    let config = uses_defaults.then(|| render::tuning_config(&tuning).into());
    let closes_ports = context.platform.isolation.network_policy && desired.tuner == Tuner::Scripts;
    let policy = closes_ports.then(|| render::network_policy(context.workspace(), false).into());
    let rest = [
        render::service(context.workspace(), false, &Exposure::Cluster, Transport::Http).into(),
        render::job(&tuning).into(),
    ];
    policy.into_iter().chain(config).chain(rest).collect()
}
