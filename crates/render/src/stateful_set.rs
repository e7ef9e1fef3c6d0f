//! The StatefulSet of a model that spans nodes, or whose weights stay when a pod ends: one pod a node, pod 0 leads.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use kaito_api::names;

use crate::inference::Inference;
use crate::{inference_pod, meta, weights};

/// Renders the StatefulSet of a preset.
pub(crate) fn of(inference: &Inference<'_>) -> StatefulSet {
    let (nodes, workspace) = (inference.placement.nodes, inference.workspace);
    let service = if inference.spans_nodes() {
        names::headless_service(workspace.name())
    } else {
        workspace.name().to_owned()
    };
    let claims = weights::claim_template(inference);
    // The volumes have a copy of public files, which outlives pods and no more.
    let retention = StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some("Delete".to_owned()),
        when_scaled: Some("Delete".to_owned()),
    };
    StatefulSet {
        metadata: meta::workload(workspace, nodes),
        spec: StatefulSetSpec {
            // No pod becomes ready before all have started, so they must start together.
            pod_management_policy: Some("Parallel".to_owned()),
            replicas: i32::try_from(nodes).ok(),
            selector: meta::pod_selector(workspace),
            service_name: Some(service),
            template: inference_pod::pod_template(inference),
            persistent_volume_claim_retention_policy: claims.is_some().then_some(retention),
            volume_claim_templates: claims.map(|claim| vec![claim]),
            ..StatefulSetSpec::default()
        },
        status: None,
    }
}
