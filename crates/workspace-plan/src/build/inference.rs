//! Manifests of a Workspace that serves.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use plan::Manifest;
use preset_catalog::Runtime;
use render::{Custom, Hardware, Inference, Transport};

use crate::context::PlanContext;
use crate::desired::DesiredInference;
use crate::exposure;

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
        render::service(workspace, false, &exposure::of(context).0, Transport::Http).into(),
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
        host: desired.host,
        hardware,
        max_context: desired.max_context,
        user_flags: desired.user_flags.clone(),
        config_hash: desired.config_hash.clone(),
        weights_image: desired.weights_image,
        adapters: desired.adapters.clone(),
        serving: &desired.serving,
        platform: &context.platform,
    };
    let spans_nodes = inference.spans_nodes();
    let headless = spans_nodes.then(|| render::headless_service(workspace).into());
    // The native engine listens on the API's port alone.
    let closes_ports = context.platform.isolation.network_policy && desired.engine != Runtime::Native;
    let policy = closes_ports.then(|| render::network_policy(workspace, spans_nodes).into());
    let transport = match desired.serving.tls_secret {
        Some(_) => Transport::Https,
        None => Transport::Http,
    };
    let service = render::service(workspace, spans_nodes, &exposure::of(context).0, transport);
    let mut manifests: Vec<Manifest> = policy.into_iter().chain([service.into()]).collect();
    manifests.extend(headless);
    manifests.push(render::workload(&inference));
    manifests
}
