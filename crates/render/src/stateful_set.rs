//! The StatefulSet of a model that spans nodes: one pod a node, pod 0 leads.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use kaito_api::names;

use crate::inference::{self, Inference};
use crate::meta;

/// The StatefulSet.
pub(crate) fn of(inference: &Inference<'_>) -> StatefulSet {
    let nodes = inference.placement.nodes;
    StatefulSet {
        metadata: meta::workload(inference.workspace, nodes),
        spec: StatefulSetSpec {
            // No pod is ready before all are there.
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: i32::try_from(nodes).ok(),
            selector: meta::pod_selector(inference.workspace),
            service_name: Some(names::headless_service(meta::name(inference.workspace))),
            template: inference::pod_template(inference),
            ..StatefulSetSpec::default()
        },
        status: None,
    }
}
