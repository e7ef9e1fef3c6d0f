//! The records of a Workspace: rendered workloads, which can be applied again, and the commit of its model.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kaito_api::Workspace;
use plan::Manifest;
use serde_json::{Value, json};

use crate::meta;

/// Renders the revision that holds this workload. A higher number is newer.
#[must_use]
pub fn revision(
    workspace: &Workspace,
    name: String,
    number: i64,
    annotations: BTreeMap<String, String>,
    workload: &Manifest,
) -> ControllerRevision {
    let data = json!({ "workload": workload.to_value() });
    record(workspace, (name, number), annotations, data)
}

/// Renders the record of a model's commit, which its annotations hold: the data of a revision cannot change.
#[must_use]
pub fn model_record(
    workspace: &Workspace,
    place: (String, i64),
    annotations: BTreeMap<String, String>,
    hub_id: &str,
) -> ControllerRevision {
    record(workspace, place, annotations, json!({ "model": hub_id }))
}

fn record(
    workspace: &Workspace,
    (name, number): (String, i64),
    annotations: BTreeMap<String, String>,
    data: Value,
) -> ControllerRevision {
    let mut metadata = meta::owned(workspace, name);
    metadata.annotations = Some(annotations);
    ControllerRevision {
        metadata,
        revision: Some(number),
        data: RawExtension(data),
    }
}
