//! Adds and removes our finalizer without touching those of others. The plan decides when.

use kube::api::{Patch, PatchParams};
use plan::Verb;
use serde_json::json;

use crate::api_writer::{ApiWriter, WriteResult, collection};
use crate::error::Error;
use crate::reconciled_object::ReconciledObject;

/// Adds the finalizer; fails with a conflict if the object has changed since it was observed.
pub(crate) async fn ensure(
    writer: &ApiWriter,
    reconciled: &ReconciledObject<'_>,
    finalizer: &str,
) -> Result<WriteResult, Error> {
    let mut all = reconciled.meta.finalizers.clone().unwrap_or_default();
    if all.iter().any(|held| held == finalizer) {
        return Ok(WriteResult::Written(None));
    }
    all.push(finalizer.to_owned());
    // A merge patch replaces the whole list, hence the version: an outdated list must not be written.
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": reconciled.meta.resource_version, "finalizers": all }
    }));
    let target = &reconciled.target;
    let built = collection(target).patch(&target.name, &PatchParams::default(), &patch);
    writer.write(Verb::EnsureFinalizer, target, built).await
}

/// Removes the finalizer; an object that is gone is success. It is blocked while a new claim may still appear.
///
/// It tests UID and position instead of the version: the status may have been written a moment ago.
pub(crate) async fn release(
    writer: &ApiWriter,
    reconciled: &ReconciledObject<'_>,
    finalizer: &str,
) -> Result<WriteResult, Error> {
    let held = reconciled.meta.finalizers.as_deref().unwrap_or_default();
    let Some(position) = held.iter().position(|held| held == finalizer) else {
        return Ok(WriteResult::Written(None));
    };
    // A claim that appears after the release would have no owner.
    if writer.fence.awaits_unanswered() {
        return Ok(WriteResult::Blocked);
    }
    let target = &reconciled.target;
    let pointer = format!("/metadata/finalizers/{position}");
    let operations = json!([
        { "op": "test", "path": "/metadata/uid", "value": reconciled.meta.uid },
        { "op": "test", "path": pointer, "value": finalizer },
        { "op": "remove", "path": pointer },
    ]);
    let patch: json_patch::Patch =
        serde_json::from_value(operations).map_err(|source| Error::Unbuildable {
            what: format!("release {}", target.name),
            source: Box::new(source),
        })?;
    let patch = Patch::<()>::Json(patch);
    let built = collection(target).patch(&target.name, &PatchParams::default(), &patch);
    writer.write(Verb::ReleaseFinalizer, target, built).await
}
