//! Workspaces that the server accepts, and changes to them.

use serde_json::{Value, json};

/// Returns a Workspace that serves a preset.
#[must_use]
pub fn inference() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "w"}}},
        "inference": {"preset": {"name": "phi-4-mini-instruct"}}
    })
}

/// Returns a Workspace that tunes a preset.
#[must_use]
pub fn tuning() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "w"}}},
        "tuning": {
            "preset": {"name": "phi-3-mini-128k-instruct"}, "method": "qlora",
            "input": {"urls": ["https://example.com/data.parquet?download=true"]},
            "output": {"image": "registry.example.com/out:1", "imagePushSecret": "push"}
        }
    })
}

/// Returns a Workspace that serves a pod template.
#[must_use]
pub fn template() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "w"}}},
        "inference": {"template": {"spec": {"containers": [{"name": "server", "image": "registry.example.com/s:1"}]}}}
    })
}

/// Returns the object with another value at a place; null removes the one that is there.
///
/// # Panics
/// When the object has no such place.
#[must_use]
pub fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() {
        &mut object
    } else {
        object.pointer_mut(parent).unwrap()
    };
    if value.is_null() {
        parent.as_object_mut().unwrap().remove(key);
    } else {
        parent[key] = value;
    }
    object
}

/// Returns the object with an annotation of ours.
#[must_use]
pub fn annotated(mut object: Value, name: &str, value: &str) -> Value {
    object["metadata"]["annotations"][format!("kaito.sh/{name}")] = value.into();
    object
}

/// Serves a preset. The Secret is for gated ones.
pub(crate) fn preset(name: &str) -> Value {
    let options = json!({"modelAccessSecret": "hub"});
    with(unlicensed(name), "/inference/preset/presetOptions", options)
}

/// Serves a preset, without a token for gated ones.
pub(crate) fn unlicensed(name: &str) -> Value {
    with(inference(), "/inference/preset/name", name.into())
}

pub(crate) fn on(object: Value, instance_type: &str) -> Value {
    with(object, "/resource/instanceType", instance_type.into())
}

pub(crate) fn adapters(adapters: Value) -> Value {
    with(inference(), "/inference/adapters", adapters)
}

pub(crate) fn adapter(adapter: Value) -> Value {
    adapters(json!([adapter]))
}

pub(crate) fn source(source: Value) -> Value {
    with(tuning(), "/tuning/input", source)
}

pub(crate) fn url(url: &str) -> Value {
    source(json!({"urls": [url]}))
}

pub(crate) fn labels(labels: Value) -> Value {
    with(
        inference(),
        "/resource/labelSelector",
        json!({"matchLabels": labels}),
    )
}
