//! Each write of a plan as one request. Names, versions and UIDs come from the plan; nothing here chooses.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use plan::{Delete, Evict, Kind, Manifest, MergePatch, ObjectRef, Propagation, Verb, WRITE_FENCE};
use serde_json::{Value, json};

use crate::api_writer::{ApiWriter, WriteResult, collection};
use crate::error::Error;
use crate::reconciled_object::ReconciledObject;

/// Applies a whole object.
///
/// A manifest with a UID changes that object only. A new object in a namespace is collected with its owner. A new claim
/// has no such owner, so it carries a token that ends with the lease, and a lost response is remembered.
pub(crate) async fn apply(writer: &ApiWriter, manifest: &Manifest) -> Result<WriteResult, Error> {
    let target = manifest.target();
    let mut body = manifest.to_value();
    // A typed object serializes an empty status too; status has its own request.
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
    }
    let creates_claim = target.namespace.is_none() && manifest.metadata().uid.is_none();
    let token = writer.fence.permit().and_then(|permit| permit.token);
    if let (true, Some(token)) = (creates_claim, token) {
        body["metadata"]["annotations"][WRITE_FENCE] = token.into();
    }
    let built = collection(&target).patch(&target.name, &forced(writer), &Patch::Apply(body));
    let result = writer.write(Verb::Apply, &target, built).await;
    if creates_claim && matches!(result, Err(Error::Timeout { .. } | Error::Client { .. })) {
        writer.fence.record_unanswered();
    }
    result
}

/// Deletes the object with the UID that was observed, and with its version if the plan names one.
pub(crate) async fn delete(writer: &ApiWriter, delete: Delete) -> Result<WriteResult, Error> {
    let params = DeleteParams {
        grace_period_seconds: delete.grace_seconds,
        propagation_policy: Some(match delete.propagation {
            Propagation::Background => PropagationPolicy::Background,
            Propagation::Foreground => PropagationPolicy::Foreground,
        }),
        preconditions: Some(Preconditions {
            uid: Some(delete.uid.clone()),
            resource_version: delete.resource_version.clone(),
        }),
        ..DeleteParams::default()
    };
    let built = collection(&delete.target).delete(&delete.target.name, &params);
    writer
        .remove(Verb::Delete, delete.target, delete.uid, built)
        .await
}

/// Patches the version of the object that was observed.
pub(crate) async fn patch(writer: &ApiWriter, patch: MergePatch) -> Result<WriteResult, Error> {
    let MergePatch {
        target,
        resource_version,
        mut body,
    } = patch;
    match body
        .as_object_mut()
        .map(|fields| fields.entry("metadata").or_insert_with(|| json!({})))
    {
        Some(Value::Object(metadata)) => {
            metadata.insert("resourceVersion".to_owned(), resource_version.into())
        }
        _ => return Err(not_an_object(&target)),
    };
    let params = PatchParams {
        field_manager: Some(writer.program.to_owned()),
        ..PatchParams::default()
    };
    let built = collection(&target).patch(&target.name, &params, &Patch::Merge(body));
    writer.write(Verb::Patch, &target, built).await
}

fn not_an_object(target: &ObjectRef) -> Error {
    let source = "the patch must be an object, to carry a resource version".into();
    Error::Unbuildable {
        what: format!("patch {}", target.name),
        source,
    }
}

/// Requests the eviction of the pod that was observed.
pub(crate) async fn evict(writer: &ApiWriter, evict: Evict) -> Result<WriteResult, Error> {
    let Evict { namespace, name, uid } = evict;
    // Built here, because kube writes `delete_options`, which the API server ignores: the UID would be lost.
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": name, "namespace": namespace },
        "deleteOptions": { "preconditions": { "uid": uid } },
    });
    let target = ObjectRef {
        kind: Kind::Pod,
        namespace: Some(namespace),
        name,
    };
    let built = collection(&target).create_subresource(
        "eviction",
        &target.name,
        &PostParams::default(),
        body.to_string().into(),
    );
    writer.remove(Verb::Evict, target, uid, built).await
}

/// Writes the whole status of the reconciled object. It fails with a conflict if another object has the name by now.
pub(crate) async fn status(
    writer: &ApiWriter,
    reconciled: &ReconciledObject<'_>,
    status: Value,
) -> Result<WriteResult, Error> {
    let target = &reconciled.target;
    let body = json!({
        "apiVersion": target.kind.api_version(),
        "kind": target.kind.as_str(),
        "metadata": { "name": target.name, "namespace": target.namespace, "uid": reconciled.meta.uid },
        "status": status,
    });
    let built = collection(target).patch_subresource(
        "status",
        &target.name,
        &forced(writer),
        &Patch::Apply(without_null_metadata(body)),
    );
    writer.write(Verb::Status, target, built).await
}

// The server refuses a null namespace of a cluster-scoped object.
fn without_null_metadata(mut body: Value) -> Value {
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| !value.is_null());
    }
    body
}

fn forced(writer: &ApiWriter) -> PatchParams {
    PatchParams::apply(writer.program).force()
}

#[cfg(test)]
mod tests;
