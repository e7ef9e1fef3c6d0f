//! Manifests of a Workspace that serves.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use plan::Manifest;
use render::{Custom, Hardware, Inference};

use crate::context::PlanContext;
use crate::desired::DesiredInference;

/// Renders the objects that run a user's pod template.
pub(super) fn of_template(
    context: &PlanContext<'_>,
    template: &PodTemplateSpec,
    nodes: u32,
) -> Vec<Manifest> {
    let workspace = context.workspace();
    let custom = Custom {
        workspace,
        template,
        nodes,
        platform: &context.platform,
    };
    vec![
        render::service(workspace, false).into(),
        custom.deployment().into(),
    ]
}

/// Renders the objects that serve a preset.
pub(super) fn of_preset(
    context: &PlanContext<'_>,
    desired: &DesiredInference<'_>,
    hardware: &Hardware,
) -> Vec<Manifest> {
    let workspace = context.workspace();
    let inference = Inference {
        workspace,
        preset: desired.preset,
        profile: desired.profile,
        engine: desired.engine,
        placement: desired.placement,
        hardware,
        max_context: desired.max_context,
        adapters: desired.adapters.clone(),
        platform: &context.platform,
    };
    let spans_nodes = inference.spans_nodes();
    let headless = spans_nodes.then(|| render::headless_service(workspace).into());
    let mut manifests = vec![render::service(workspace, spans_nodes).into()];
    manifests.extend(headless);
    manifests.push(render::workload(&inference));
    manifests
}
