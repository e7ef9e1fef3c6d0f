//! Workspaces with what must become of them: the same list is put to `lint` here and to a real API server by the
//! integration tests, which demand equal verdicts.
//!
//! Settings: nodes are made, the cloud is azure, the catalog is the built-in one.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "two test binaries include this file and use different parts"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "values are written where they are passed"
)]

mod created;
mod parts;
mod updated;

use serde_json::{Value, json};

/// What must become of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It is stored.
    Accepted,
    /// It is refused, with this in the sentence.
    Refused(&'static str),
    /// Whatever the planner says of preset and instance type.
    AsPlanned,
}

use Expect::AsPlanned;

/// One object, to be created or to replace another.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is stored before, for an update.
    pub old: Option<Value>,
    /// What is applied.
    pub object: Value,
    /// What must become of it.
    pub expect: Expect,
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = created();
    cases.extend(updated::updated());
    cases.extend(sized());
    cases
}

pub fn inference() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "w"}}},
        "inference": {"preset": {"name": "phi-4-mini-instruct"}}
    })
}

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

pub fn template() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "w"}}},
        "inference": {"template": {"spec": {"containers": [{"name": "server", "image": "registry.example.com/s:1"}]}}}
    })
}

/// The object with another value at a place; null removes what is there.
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

pub fn annotated(mut object: Value, name: &str, value: &str) -> Value {
    object["metadata"]["annotations"][format!("kaito.sh/{name}")] = value.into();
    object
}

fn preset(name: &str) -> Value {
    with(inference(), "/inference/preset/name", name.into())
}

fn on(object: Value, instance_type: &str) -> Value {
    with(object, "/resource/instanceType", instance_type.into())
}

fn adapters(adapters: Value) -> Value {
    with(inference(), "/inference/adapters", adapters)
}

fn adapter(adapter: Value) -> Value {
    adapters(json!([adapter]))
}

fn source(source: Value) -> Value {
    with(tuning(), "/tuning/input", source)
}

fn url(url: &str) -> Value {
    source(json!({"urls": [url]}))
}

fn labels(labels: Value) -> Value {
    with(
        inference(),
        "/resource/labelSelector",
        json!({"matchLabels": labels}),
    )
}

fn created() -> Vec<Case> {
    use created::*;
    use parts::*;
    let groups = [
        names(),
        shape(),
        presets(),
        types(),
        annotations(),
        selectors(),
        templates(),
        adapted(),
        tuned(),
    ];
    let case = |(object, expect)| Case {
        old: None,
        object,
        expect,
    };
    groups.into_iter().flatten().map(case).collect()
}

type Cases = Vec<(Value, Expect)>;

/// Every one of these presets on every one of these instance types.
pub const SIZED_PRESETS: [&str; 14] = [
    "phi-4",
    "phi-4-mini-instruct",
    "llama-3.1-8b-instruct",
    "llama-3.3-70b-instruct",
    "deepseek-r1-0528",
    "deepseek-v4-pro",
    "falcon-7b",
    "falcon-40b",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "gemma-3-27b-it",
    "kimi-k2.6",
    "qwen2.5-coder-32b-instruct",
    "smollm2-135m-instruct",
];
pub const SIZED_TYPES: [&str; 9] = [
    "Standard_NV36ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_ND96asr_v4",
    "Standard_NC80adis_H100_v5",
    "Standard_ND96isr_H200_v5",
    "Standard_NC6s_v3",
    "Standard_NC24s_v3",
    "Standard_NC4as_T4_v3",
    "Standard_NC64as_T4_v3",
];

fn sized() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in SIZED_PRESETS {
        for instance_type in SIZED_TYPES {
            for context in [None, Some("2000"), Some("120000")] {
                let object = on(preset(name), instance_type);
                let object = match context {
                    Some(tokens) => annotated(object, "max-context-tokens", tokens),
                    None => object,
                };
                cases.push(Case {
                    old: None,
                    object,
                    expect: AsPlanned,
                });
            }
        }
    }
    cases
}
