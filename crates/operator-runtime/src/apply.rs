//! One write of a plan as one request. Nothing here chooses: names, versions and UIDs come from the plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use plan::{Delete, Evict, Kind, Manifest, MergePatch, ObjectRef, Propagation, Write};
use serde_json::{Value, json};

use crate::error::{Class, Error};
use crate::own_writes::Wrote;
use crate::stores::comparable;
use crate::wire::{Reply, Wire, collection};

/// The object that is reconciled.
#[derive(Clone, Debug)]
pub struct Root<'a> {
    /// Its kind and name.
    pub target: ObjectRef,
    /// Its metadata as observed.
    pub meta: &'a ObjectMeta,
}

/// What came of a write.
#[derive(Debug, PartialEq)]
pub(crate) enum Done {
    /// It is written.
    Wrote(Option<Wrote>),
    /// The object meant is not there any more.
    Absent,
    /// A disruption budget refused, for now.
    Blocked,
}

/// Carries out one write.
pub(crate) async fn write(wire: &Wire, write: Write) -> Result<Done, Error> {
    match write {
        Write::Apply(manifest) => apply(wire, &manifest).await,
        Write::Delete(wanted) => delete(wire, wanted).await,
        Write::Patch(wanted) => patch(wire, wanted).await,
        Write::Evict(wanted) => evict(wire, wanted).await,
    }
}

async fn apply(wire: &Wire, manifest: &Manifest) -> Result<Done, Error> {
    let target = manifest.target();
    let mut body = manifest.to_value();
    // A typed object without an observed status still serialises what it holds; status has its own call.
    if let Some(fields) = body.as_object_mut() {
        fields.remove("status");
    }
    let built = collection(&target).patch(&target.name, &forced(wire), &Patch::Apply(body));
    let reply = wire.send("apply", &target, built).await?;
    Ok(Done::Wrote(shown(target.kind, &reply)))
}

async fn delete(wire: &Wire, wanted: Delete) -> Result<Done, Error> {
    let params = DeleteParams {
        grace_period_seconds: wanted.grace_seconds,
        propagation_policy: Some(match wanted.propagation {
            Propagation::Background => PropagationPolicy::Background,
            Propagation::Foreground => PropagationPolicy::Foreground,
        }),
        preconditions: Some(only(&wanted.uid)),
        ..DeleteParams::default()
    };
    let built = collection(&wanted.target).delete(&wanted.target.name, &params);
    match wire.send("delete", &wanted.target, built).await {
        Ok(_) => Ok(Done::Wrote(Some(Wrote::Gone {
            target: wanted.target,
            uid: wanted.uid,
        }))),
        // 409: the name belongs to another object by now.
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(Done::Absent),
        Err(error) => Err(error),
    }
}

async fn patch(wire: &Wire, wanted: MergePatch) -> Result<Done, Error> {
    let MergePatch {
        target,
        resource_version,
        mut body,
    } = wanted;
    match body
        .as_object_mut()
        .map(|fields| fields.entry("metadata").or_insert_with(|| json!({})))
    {
        Some(Value::Object(metadata)) => {
            metadata.insert("resourceVersion".to_owned(), resource_version.into())
        }
        _ => return Err(unlocked(&target)),
    };
    let params = PatchParams {
        field_manager: Some(wire.program.to_owned()),
        ..PatchParams::default()
    };
    let built = collection(&target).patch(&target.name, &params, &Patch::Merge(body));
    match wire.send("patch", &target, built).await {
        Ok(reply) => Ok(Done::Wrote(shown(target.kind, &reply))),
        // What was observed is gone: observing again is what helps, not waiting.
        Err(error) if error.code() == Some(404) => Err(error.with_class(Class::Conflict)),
        Err(error) => Err(error),
    }
}

fn unlocked(target: &ObjectRef) -> Error {
    let source = "the patch is no object, so it cannot carry a resource version".into();
    Error::Unbuildable {
        what: format!("patch {}", target.name),
        source,
    }
}

async fn evict(wire: &Wire, wanted: Evict) -> Result<Done, Error> {
    let Evict { namespace, name, uid } = wanted;
    let target = ObjectRef {
        kind: Kind::Pod,
        namespace: Some(namespace.clone()),
        name: name.clone(),
    };
    // Built by hand: kube writes `delete_options`, which the API server does not know, and the UID would be lost.
    let body = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": name, "namespace": namespace },
        "deleteOptions": { "preconditions": { "uid": uid } },
    });
    let built = collection(&target).create_subresource(
        "eviction",
        &name,
        &PostParams::default(),
        body.to_string().into(),
    );
    match wire.send("evict", &target, built).await {
        Ok(_) => Ok(Done::Wrote(Some(Wrote::Gone { target, uid }))),
        Err(error) => match error.code() {
            Some(404 | 409) => Ok(Done::Absent),
            Some(429) => Ok(Done::Blocked),
            _ => Err(error),
        },
    }
}

/// Writes the whole status of the object that is reconciled. It fails with a conflict when the name belongs to
/// another object by now.
pub(crate) async fn status(wire: &Wire, root: &Root<'_>, status: Value) -> Result<Done, Error> {
    let target = &root.target;
    let body = json!({
        "apiVersion": target.kind.api_version(),
        "kind": target.kind.as_str(),
        "metadata": { "name": target.name, "namespace": target.namespace, "uid": root.meta.uid },
        "status": status,
    });
    let built = collection(target).patch_subresource(
        "status",
        &target.name,
        &forced(wire),
        &Patch::Apply(without_nulls(body)),
    );
    match wire.send("status", target, built).await {
        Ok(reply) => Ok(Done::Wrote(shown(target.kind, &reply))),
        Err(error) if error.code() == Some(404) => Ok(Done::Absent),
        Err(error) => Err(error),
    }
}

// A null namespace of a cluster-scoped object is not a namespace.
fn without_nulls(mut body: Value) -> Value {
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|_, value| !value.is_null());
    }
    body
}

fn forced(wire: &Wire) -> PatchParams {
    PatchParams::apply(wire.program).force()
}

fn only(uid: &str) -> Preconditions {
    Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: None,
    }
}

fn shown(kind: Kind, reply: &Reply) -> Option<Wrote> {
    comparable(&reply.metadata).map(|version| Wrote::Version { kind, version })
}
