//! What the stores leave out: nobody reads it, and its changes must not wake anybody.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Node, NodeSpec, Pod, PodSpec, Service};
use kaito_api::{Machine, NodeClaim, Workspace, labels};
use kube::Resource;

/// Workspaces are kept whole.
pub(crate) fn workspace(_: &mut Workspace) {}

/// Machines are kept whole.
pub(crate) fn machine(_: &mut Machine) {}

/// NodeClaims without the time at which a pod last came or went.
pub(crate) fn node_claim(claim: &mut NodeClaim) {
    if let Some(status) = claim.status.as_mut() {
        status.last_pod_event_time = None;
    }
}

/// Nodes without images, volumes, annotations and heartbeats.
pub(crate) fn node(node: &mut Node) {
    node.metadata.annotations = None;
    if let Some(spec) = node.spec.take() {
        node.spec = Some(NodeSpec {
            unschedulable: spec.unschedulable,
            taints: spec.taints,
            ..NodeSpec::default()
        });
    }
    if let Some(status) = node.status.as_mut() {
        status.images = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
        status.node_info = None;
        status.addresses = None;
        status.config = None;
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
    }
}

/// Of pods the status, by which failures are told, and the node, whose hardware is theirs.
pub(crate) fn pod(pod: &mut Pod) {
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec {
            node_name: spec.node_name,
            ..PodSpec::default()
        });
    }
    pod.metadata.annotations = None;
}

/// Deployments of others: only that the name is taken, and by whom.
pub(crate) fn deployment(object: &mut Deployment) {
    if !is_ours(object) {
        *object = Deployment {
            metadata: std::mem::take(&mut object.metadata),
            ..Deployment::default()
        };
        drop_texts(object);
    }
}

/// StatefulSets of others: only that the name is taken, and by whom.
pub(crate) fn stateful_set(object: &mut StatefulSet) {
    if !is_ours(object) {
        *object = StatefulSet {
            metadata: std::mem::take(&mut object.metadata),
            ..StatefulSet::default()
        };
        drop_texts(object);
    }
}

/// Jobs of others: only that the name is taken, and by whom.
pub(crate) fn job(object: &mut Job) {
    if !is_ours(object) {
        *object = Job {
            metadata: std::mem::take(&mut object.metadata),
            ..Job::default()
        };
        drop_texts(object);
    }
}

/// Services of others: only that the name is taken, and by whom.
pub(crate) fn service(object: &mut Service) {
    if !is_ours(object) {
        *object = Service {
            metadata: std::mem::take(&mut object.metadata),
            ..Service::default()
        };
        drop_texts(object);
    }
}

/// ConfigMaps are watched by our label, and kept whole.
pub(crate) fn config_map(_: &mut ConfigMap) {}

fn is_ours<K: Resource>(object: &K) -> bool {
    object
        .meta()
        .labels
        .as_ref()
        .is_some_and(|l| l.contains_key(labels::WORKSPACE))
}

fn drop_texts<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.labels = None;
    meta.annotations = None;
}
