//! Metadata of the objects that belong to a Workspace.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kaito_api::{Workspace, labels};
use plan::Kind;

/// Name of the Workspace.
pub(crate) fn name(workspace: &Workspace) -> &str {
    workspace.metadata.name.as_deref().unwrap_or_default()
}

/// Namespace of the Workspace.
pub(crate) fn namespace(workspace: &Workspace) -> &str {
    workspace.metadata.namespace.as_deref().unwrap_or_default()
}

/// UID of the Workspace.
pub(crate) fn uid(workspace: &Workspace) -> &str {
    workspace.metadata.uid.as_deref().unwrap_or_default()
}

/// An annotation of the Workspace, if it is not blank.
pub(crate) fn annotation<'a>(workspace: &'a Workspace, key: &str) -> Option<&'a str> {
    let value = workspace.metadata.annotations.as_ref()?.get(key)?.trim();
    (!value.is_empty()).then_some(value)
}

/// Metadata of an object in the Workspace's namespace that goes when the Workspace goes.
pub(crate) fn owned(workspace: &Workspace, object: String) -> ObjectMeta {
    let labels = [
        (labels::WORKSPACE.to_owned(), name(workspace).to_owned()),
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

/// Metadata of a workload made for this many nodes.
pub(crate) fn workload(workspace: &Workspace, nodes: u32) -> ObjectMeta {
    ObjectMeta {
        annotations: Some([(labels::NODE_COUNT.to_owned(), nodes.to_string())].into()),
        ..owned(workspace, name(workspace).to_owned())
    }
}

fn owner(workspace: &Workspace) -> OwnerReference {
    OwnerReference {
        api_version: Kind::Workspace.api_version().to_owned(),
        kind: Kind::Workspace.as_str().to_owned(),
        name: name(workspace).to_owned(),
        uid: uid(workspace).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Labels by which the Workspace's pods are found.
pub(crate) fn pod_labels(workspace: &Workspace) -> BTreeMap<String, String> {
    [(labels::WORKSPACE.to_owned(), name(workspace).to_owned())].into()
}

/// Selects the Workspace's pods.
pub(crate) fn pod_selector(workspace: &Workspace) -> LabelSelector {
    LabelSelector {
        match_labels: Some(pod_labels(workspace)),
        ..LabelSelector::default()
    }
}
