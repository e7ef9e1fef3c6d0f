//! The Deployment of a model that fits one node.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kaito_api::Workspace;

use crate::inference::{self, Inference};
use crate::meta;

/// Seconds on top of the server's own time to start: for the image.
const PULL_SECONDS: u32 = 1800;

/// The Deployment.
pub(crate) fn of(inference: &Inference<'_>) -> Deployment {
    let patience = inference
        .profile
        .readiness_timeout_seconds
        .saturating_add(PULL_SECONDS);
    let mut deployment = deployment(inference.workspace, 1, inference::pod_template(inference));
    deployment.spec.progress_deadline_seconds = i32::try_from(patience).ok();
    deployment
}

/// A Deployment of the Workspace's name with one pod a node.
///
/// An update stops the old pod first: it holds the GPUs, and a second node would have to be paid for otherwise.
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
