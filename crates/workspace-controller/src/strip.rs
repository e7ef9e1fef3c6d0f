//! Strips fields from cached objects that no plan reads. So they take less memory, and their changes enqueue nothing.

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, Node, NodeSpec, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus,
    Pod, PodSpec, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kaito_api::{Machine, NodeClaim, Workspace, labels};
use kube::Resource;
use plan::Kind;

/// Keeps Workspaces whole.
pub(crate) fn workspace(_: &mut Workspace) {}

/// Keeps Machines whole.
pub(crate) fn machine(_: &mut Machine) {}

/// Strips the time of the last pod event from NodeClaims.
pub(crate) fn node_claim(claim: &mut NodeClaim) {
    if let Some(status) = claim.status.as_mut() {
        status.last_pod_event_time = None;
    }
}

/// Strips images, volumes, annotations and heartbeats from Nodes.
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

/// Strips pods to their metadata, status and node name.
pub(crate) fn pod(pod: &mut Pod) {
    if let Some(spec) = pod.spec.take() {
        pod.spec = Some(PodSpec {
            node_name: spec.node_name,
            ..PodSpec::default()
        });
    }
    pod.metadata.annotations = None;
}

/// Strips Deployments of other owners to their name and owner.
pub(crate) fn deployment(object: &mut Deployment) {
    if !is_ours(object) {
        *object = Deployment {
            metadata: std::mem::take(&mut object.metadata),
            ..Deployment::default()
        };
        strip_metadata(object);
    }
}

/// Strips StatefulSets of other owners to their name and owner.
pub(crate) fn stateful_set(object: &mut StatefulSet) {
    if !is_ours(object) {
        *object = StatefulSet {
            metadata: std::mem::take(&mut object.metadata),
            ..StatefulSet::default()
        };
        strip_metadata(object);
    }
}

/// Strips Jobs of other owners to their name and owner.
pub(crate) fn job(object: &mut Job) {
    if !is_ours(object) {
        *object = Job {
            metadata: std::mem::take(&mut object.metadata),
            ..Job::default()
        };
        strip_metadata(object);
    }
}

/// Strips Services of other owners to their name and owner.
pub(crate) fn service(object: &mut Service) {
    if !is_ours(object) {
        *object = Service {
            metadata: std::mem::take(&mut object.metadata),
            ..Service::default()
        };
        strip_metadata(object);
    }
}

/// Strips NetworkPolicies of other owners to their name and owner.
pub(crate) fn network_policy(object: &mut NetworkPolicy) {
    if !is_ours(object) {
        *object = NetworkPolicy {
            metadata: std::mem::take(&mut object.metadata),
            ..NetworkPolicy::default()
        };
        strip_metadata(object);
    }
}

/// Strips the data of revisions that a StatefulSet made: they carry the labels of its pods.
pub(crate) fn controller_revision(object: &mut ControllerRevision) {
    let mut owners = object.metadata.owner_references.iter().flatten();
    if !owners.any(|owner| owner.kind == Kind::Workspace.as_str()) {
        object.data = RawExtension::default();
    }
}

/// Strips claims of volumes to their class, their phase and the node that was chosen for them.
pub(crate) fn volume_claim(claim: &mut PersistentVolumeClaim) {
    let class = claim.spec.take().and_then(|spec| spec.storage_class_name);
    claim.spec = Some(PersistentVolumeClaimSpec {
        storage_class_name: class,
        ..PersistentVolumeClaimSpec::default()
    });
    let phase = claim.status.take().and_then(|status| status.phase);
    claim.status = Some(PersistentVolumeClaimStatus {
        phase,
        ..PersistentVolumeClaimStatus::default()
    });
    if let Some(annotations) = &mut claim.metadata.annotations {
        annotations.retain(|key, _| key == labels::SELECTED_NODE);
    }
}

/// Keeps ConfigMaps whole: only those with our label are watched.
pub(crate) fn config_map(_: &mut ConfigMap) {}

/// Returns true if we made the object, or a Workspace owns it: upstream's controller labels pods alone.
fn is_ours<K: Resource>(object: &K) -> bool {
    let meta = object.meta();
    let labels = meta.labels.as_ref();
    let mut owners = meta.owner_references.iter().flatten();
    labels.is_some_and(|labels| labels.contains_key(labels::WORKSPACE))
        || owners.any(|owner| owner.kind == Kind::Workspace.as_str())
}

/// Moves name, namespace, UID and resource version out of the metadata.
pub(crate) fn identity(metadata: &mut ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.take(),
        namespace: metadata.namespace.take(),
        uid: metadata.uid.take(),
        resource_version: metadata.resource_version.take(),
        ..ObjectMeta::default()
    }
}

fn strip_metadata<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.labels = None;
    meta.annotations = None;
}
