//! The Deployment of a model that fits one node.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kaito_api::Workspace;

use crate::inference::Inference;
use crate::{inference_pod, meta};

/// Seconds for pulling the image, on top of the server's own start-up time.
const PULL_SECONDS: u32 = 1800;

/// Renders the Deployment of a preset.
pub(crate) fn of(inference: &Inference<'_>) -> Deployment {
    let deadline = inference
        .profile
        .readiness_timeout_seconds
        .saturating_add(PULL_SECONDS);
    let mut deployment = deployment(inference.workspace, 1, inference_pod::pod_template(inference));
    deployment.spec.progress_deadline_seconds = i32::try_from(deadline).ok();
    deployment
}

/// Renders a Deployment with the Workspace's name and one pod a node.
///
/// An update stops the old pod first: that pod holds the GPUs, and the new one would need a second paid node.
pub(crate) fn deployment(workspace: &Workspace, nodes: u32, template: PodTemplateSpec) -> Deployment {
    Deployment {
        metadata: meta::workload(workspace, nodes),
        spec: DeploymentSpec {
            replicas: i32::try_from(nodes).ok(),
            selector: meta::pod_selector(workspace),
            strategy: Some(DeploymentStrategy {
                type_: Some("Recreate".to_owned()),
                ..DeploymentStrategy::default()
            }),
            template,
            ..DeploymentSpec::default()
        },
        status: None,
    }
}
