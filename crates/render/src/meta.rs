//! Metadata of the objects that belong to a Workspace.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kaito_api::{Workspace, labels};
use plan::Kind;

/// Metadata of an object in the Workspace's namespace that is garbage-collected with the Workspace.
pub(crate) fn owned(workspace: &Workspace, object: String) -> ObjectMeta {
    let labels = [
        (labels::WORKSPACE.to_owned(), workspace.name().to_owned()),
        (
            labels::MANAGED_BY.to_owned(),
            labels::WORKSPACE_CONTROLLER.to_owned(),
        ),
    ];
    ObjectMeta {
        name: Some(object),
        namespace: workspace.metadata.namespace.clone(),
        labels: Some(labels.into()),
        owner_references: Some(vec![owner(workspace)]),
        ..ObjectMeta::default()
    }
}

/// Metadata of a workload for this many nodes.
pub(crate) fn workload(workspace: &Workspace, nodes: u32) -> ObjectMeta {
    ObjectMeta {
        annotations: Some([(labels::NODE_COUNT.to_owned(), nodes.to_string())].into()),
        ..owned(workspace, workspace.name().to_owned())
    }
}

fn owner(workspace: &Workspace) -> OwnerReference {
    OwnerReference {
        api_version: Kind::Workspace.api_version().to_owned(),
        kind: Kind::Workspace.as_str().to_owned(),
        name: workspace.name().to_owned(),
        uid: workspace.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Labels of the Workspace's pods, by which they are found.
pub(crate) fn pod_labels(workspace: &Workspace) -> BTreeMap<String, String> {
    [(labels::WORKSPACE.to_owned(), workspace.name().to_owned())].into()
}

/// Annotation of pods that were made with the user's ConfigMap of this digest.
pub(crate) fn config_hash(digest: &str) -> Option<(String, String)> {
    let is_set = !digest.is_empty();
    is_set.then(|| (labels::CONFIG_HASH.to_owned(), digest.to_owned()))
}

/// Selector of the Workspace's pods.
pub(crate) fn pod_selector(workspace: &Workspace) -> LabelSelector {
    LabelSelector {
        match_labels: Some(pod_labels(workspace)),
        ..LabelSelector::default()
    }
}
