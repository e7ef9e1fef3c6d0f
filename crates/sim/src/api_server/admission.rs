//! Updates that the API server refuses: of immutable fields, and new finalizers on terminating objects.

use plan::Kind;
use serde_json::Value;

use super::{ApiError, is_deleting};
use crate::json;

/// Refuses an update that the real server would refuse.
///
/// # Errors
/// `Invalid`, naming the field.
pub(crate) fn check_update(kind: Kind, before: &Value, after: &Value) -> Result<(), ApiError> {
    for path in immutable(kind) {
        if json::at(before, path) != json::at(after, path) {
            return Err(invalid(kind, path));
        }
    }
    match kind {
        Kind::StatefulSet => check_stateful_set(before, after)?,
        Kind::Workspace => check_workspace(before, after)?,
        _ => {}
    }
    check_finalizers(before, after)
}

fn immutable(kind: Kind) -> &'static [&'static [&'static str]] {
    match kind {
        Kind::Deployment => &[&["spec", "selector"]],
        Kind::Job => &[
            &["spec", "selector"],
            &["spec", "template"],
            &["spec", "completions"],
            &["spec", "completionMode"],
        ],
        Kind::Service => &[&["spec", "clusterIP"]],
        Kind::NodeClaim => &[&["spec"]],
        Kind::ControllerRevision => &[&["data"]],
        Kind::Workspace => &[
            &["resource", "count"],
            &["resource", "labelSelector"],
            &["inference", "preset"],
            &["tuning", "preset"],
            &["tuning", "method"],
            &["tuning", "input", "name"],
        ],
        _ => &[],
    }
}

const STATEFUL_SET_MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn check_stateful_set(before: &Value, after: &Value) -> Result<(), ApiError> {
    let fixed = |value: &Value| {
        let mut spec = value
            .get("spec")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        spec.retain(|field, _| !STATEFUL_SET_MUTABLE.contains(&field.as_str()));
        spec
    };
    if fixed(before) == fixed(after) {
        Ok(())
    } else {
        Err(invalid(Kind::StatefulSet, &["spec"]))
    }
}

// The other rules of the CRD about updates are immutable fields. Which of inference and tuning there is stays, too.
fn check_workspace(before: &Value, after: &Value) -> Result<(), ApiError> {
    for part in ["inference", "tuning"] {
        if before.get(part).is_some() != after.get(part).is_some() {
            return Err(invalid(Kind::Workspace, &[part]));
        }
    }
    let path = ["resource", "instanceType"];
    let was_set = !json::text(before, &path).is_empty();
    if was_set && json::at(before, &path) != json::at(after, &path) {
        return Err(invalid(Kind::Workspace, &path));
    }
    Ok(())
}

fn check_finalizers(before: &Value, after: &Value) -> Result<(), ApiError> {
    let path = ["metadata", "finalizers"];
    let had = json::list(before, &path);
    let added = json::list(after, &path)
        .iter()
        .any(|finalizer| !had.contains(finalizer));
    if is_deleting(before) && added {
        return Err(ApiError::Invalid(
            "no new finalizers can be added if the object is being deleted".to_owned(),
        ));
    }
    Ok(())
}

fn invalid(kind: Kind, path: &[&str]) -> ApiError {
    ApiError::Invalid(format!(
        "{}: field is immutable: {}",
        kind.as_str(),
        path.join(".")
    ))
}
