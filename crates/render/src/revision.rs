//! The record of a rendered workload: what was applied, and what can be applied again.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kaito_api::Workspace;
use plan::Manifest;
use serde_json::json;

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
    let mut metadata = meta::owned(workspace, name);
    metadata.annotations = Some(annotations);
    ControllerRevision {
        metadata,
        revision: Some(number),
        data: RawExtension(json!({ "workload": workload.to_value() })),
    }
}
