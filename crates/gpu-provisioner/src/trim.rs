//! What the stores leave out: nobody reads it, and its changes must not wake anybody.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{Machine, NodeClaim};

/// Machines are kept whole.
pub fn machine(_: &mut Machine) {}

/// NodeClaims without the time at which a pod last came or went.
pub fn node_claim(claim: &mut NodeClaim) {
    if let Some(status) = claim.status.as_mut() {
        status.last_pod_event_time = None;
    }
}

/// Nodes without images, volumes and heartbeats.
pub fn node(node: &mut Node) {
    if let Some(status) = node.status.as_mut() {
        status.images = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
        status.config = None;
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
    }
}

/// Of pods only what a drain looks at.
pub fn pod(pod: &mut Pod) {
    pod.metadata.labels = None;
    if let Some(annotations) = pod.metadata.annotations.as_mut() {
        annotations.retain(|key, _| key.starts_with("karpenter.sh/") || key == "kubernetes.io/config.mirror");
    }
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec {
            node_name: spec.node_name,
            tolerations: spec.tolerations,
            priority_class_name: spec.priority_class_name,
            priority: spec.priority,
            termination_grace_period_seconds: spec.termination_grace_period_seconds,
            volumes: spec.volumes.map(|volumes| {
                volumes
                    .into_iter()
                    .filter(|volume| volume.persistent_volume_claim.is_some())
                    .collect()
            }),
            ..PodSpec::default()
        });
    }
    if let Some(status) = pod.status.as_mut() {
        status.container_statuses = None;
        status.init_container_statuses = None;
        status.conditions = None;
    }
}

/// Volume attachments are kept whole.
pub fn attachment(_: &mut VolumeAttachment) {}
