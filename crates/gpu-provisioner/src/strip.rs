//! Fields that caches drop: no code reads them, and their changes must not cause a reconcile.

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{KaitoNodeClass, Machine, NodeClaim};

/// Keeps Machines whole.
pub(crate) fn machine(_: &mut Machine) {}

/// Drops the time of a NodeClaim's last pod event.
pub(crate) fn node_claim(claim: &mut NodeClaim) {
    if let Some(status) = claim.status.as_mut() {
        status.last_pod_event_time = None;
    }
}

/// Keeps node classes whole.
pub(crate) fn node_class(_: &mut KaitoNodeClass) {}

/// Drops images, volumes and heartbeats of Nodes.
pub(crate) fn node(node: &mut Node) {
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

/// Keeps the fields of pods that a drain reads.
pub(crate) fn pod(pod: &mut Pod) {
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

/// Keeps volume attachments whole.
pub(crate) fn attachment(_: &mut VolumeAttachment) {}
