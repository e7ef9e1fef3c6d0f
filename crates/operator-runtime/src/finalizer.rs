//! Adding and removing a finalizer, without touching those of others. It knows nothing of when that is right.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::apply::Root;
use crate::error::{Class, Error};
use crate::own_writes::Wrote;
use crate::stores::comparable;
use crate::wire::{Wire, collection};

/// Adds the finalizer; fails with a conflict when the object has changed since it was observed.
pub(crate) async fn ensure(wire: &Wire, root: &Root<'_>, finalizer: &str) -> Result<Option<Wrote>, Error> {
    let mut all = root.meta.finalizers.clone().unwrap_or_default();
    if all.iter().any(|held| held == finalizer) {
        return Ok(None);
    }
    all.push(finalizer.to_owned());
    // A merge patch replaces the whole list, hence the version: an out-of-date list must not be written.
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": root.meta.resource_version, "finalizers": all }
    }));
    let built = collection(&root.target).patch(&root.target.name, &PatchParams::default(), &patch);
    let reply = wire.send("finalizer", &root.target, built).await?;
    Ok(comparable(&reply.metadata).map(|version| Wrote::Version {
        kind: root.target.kind,
        version,
    }))
}

/// Removes the finalizer; an object that is gone is success.
///
/// Tests UID and place rather than the version: the status may have been written a moment ago.
pub(crate) async fn release(wire: &Wire, root: &Root<'_>, finalizer: &str) -> Result<Option<Wrote>, Error> {
    let held = root.meta.finalizers.as_deref().unwrap_or_default();
    let Some(place) = held.iter().position(|held| held == finalizer) else {
        return Ok(None);
    };
    let pointer = format!("/metadata/finalizers/{place}");
    let operations = json!([
        { "op": "test", "path": "/metadata/uid", "value": root.meta.uid },
        { "op": "test", "path": pointer, "value": finalizer },
        { "op": "remove", "path": pointer },
    ]);
    let patch: json_patch::Patch =
        serde_json::from_value(operations).map_err(|source| Error::Unbuildable {
            what: format!("release {}", root.target.name),
            source: Box::new(source),
        })?;
    let patch = Patch::<()>::Json(patch);
    let built = collection(&root.target).patch(&root.target.name, &PatchParams::default(), &patch);
    match wire.send("finalizer", &root.target, built).await {
        Ok(reply) => Ok(comparable(&reply.metadata).map(|version| Wrote::Version {
            kind: root.target.kind,
            version,
        })),
        Err(error) if error.code() == Some(404) => Ok(None),
        // The server answers a failed test with 422: the list has changed since it was observed.
        Err(error) if error.code() == Some(422) => Err(error.with_class(Class::Conflict)),
        Err(error) => Err(error),
    }
}
