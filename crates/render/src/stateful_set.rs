//! The StatefulSet of a model that spans nodes: one pod a node, pod 0 leads.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use kaito_api::names;

use crate::inference::Inference;
use crate::{inference_pod, meta};

/// Renders the StatefulSet of a preset.
pub(crate) fn of(inference: &Inference<'_>) -> StatefulSet {
    let nodes = inference.placement.nodes;
    StatefulSet {
        metadata: meta::workload(inference.workspace, nodes),
        spec: StatefulSetSpec {
            // No pod becomes ready before all have started, so they must start together.
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: i32::try_from(nodes).ok(),
            selector: meta::pod_selector(inference.workspace),
            service_name: Some(names::headless_service(inference.workspace.name())),
            template: inference_pod::pod_template(inference),
            ..StatefulSetSpec::default()
        },
        status: None,
    }
}
