//! Edits of Workspaces that are stored.

use serde_json::{Value, json};

use crate::case::Expect::{Accepted, Refused};
use crate::case::{Case, Expect};
use crate::workspaces::*;

pub(crate) fn updated() -> Vec<Case> {
    let unset = || with(template(), "/resource/count", json!(1));
    let edit = |pointer: &str, value: Value| (inference(), with(inference(), pointer, value));
    let tune = |pointer: &str, value: Value| (tuning(), with(tuning(), pointer, value));
    let note = |name: &str, value: &str| (inference(), annotated(inference(), name, value));
    let adapter = |count: usize| {
        (0..count)
            .map(|n| json!({"source": {"name": format!("a{n}"), "image": "i"}}))
            .collect::<Vec<_>>()
    };
    let cases: Vec<((Value, Value), Expect)> = vec![
        ((inference(), inference()), Accepted),
        ((tuning(), tuning()), Accepted),
        (edit("/metadata/labels", json!({"a": "b"})), Accepted),
        (edit("/inference/config", json!("c")), Accepted),
        (edit("/inference/adapters", adapter(1).into()), Accepted),
        (
            edit("/inference/adapters", adapter(11).into()),
            Refused("adapters"),
        ),
        (
            edit(
                "/inference/adapters",
                json!([{"source": {"name": "a", "image": "i"}, "strength": "NaN"}]),
            ),
            Refused("from 0 to 1"),
        ),
        (
            edit(
                "/inference/adapters",
                json!([{"source": {"name": "a", "volumeSource": {}}}]),
            ),
            Refused("exactly one kind of volume"),
        ),
        (
            edit("/resource/instanceType", json!("Standard_NC48ads_A100_v4")),
            Refused("cannot be changed once set"),
        ),
        (
            edit("/resource/instanceType", Value::Null),
            Refused("cannot be changed once set"),
        ),
        (
            edit("/resource/count", json!(2)),
            Refused("field is immutable: resource.count"),
        ),
        (
            edit("/resource/labelSelector", json!({"matchLabels": {"a": "b"}})),
            Refused("field is immutable: resource.labelSelector"),
        ),
        // The same, written differently.
        (
            edit(
                "/resource/labelSelector",
                json!({"matchExpressions": [{"key": "apps", "operator": "In", "values": ["w"]}]}),
            ),
            Accepted,
        ),
        (
            edit(
                "/resource/labelSelector",
                json!({"matchExpressions": [{"key": "apps", "operator": "In", "values": ["x"]}]}),
            ),
            Refused("field is immutable: resource.labelSelector"),
        ),
        (
            edit(
                "/resource/labelSelector",
                json!({"matchLabels": {"apps": "w", "more": "x"}}),
            ),
            Refused("field is immutable: resource.labelSelector"),
        ),
        (
            edit("/resource/labelSelector", json!({})),
            Refused("field is immutable: resource.labelSelector"),
        ),
        (edit("/inference/preset/presetOptions", json!({})), Accepted),
        (
            edit(
                "/inference/preset/presetOptions",
                json!({"image": "", "imagePullSecrets": []}),
            ),
            Accepted,
        ),
        (edit("/inference/preset/accessMode", json!("public")), Accepted),
        (
            edit("/inference/preset/accessMode", json!("private")),
            Refused("field is immutable: inference.preset"),
        ),
        (tune("/tuning/preset/presetOptions", json!({})), Accepted),
        (tune("/tuning/method", json!("QLoRA")), Accepted),
        (tune("/tuning/preset", Value::Null), Refused("tuning.preset")),
        (
            edit("/inference/preset/name", json!("phi-4")),
            Refused("field is immutable: inference.preset"),
        ),
        (
            edit(
                "/inference/preset/presetOptions",
                json!({"modelAccessSecret": "s"}),
            ),
            Refused("field is immutable: inference.preset"),
        ),
        (
            edit("/inference", template()["inference"].clone()),
            Refused("cannot be set or unset later"),
        ),
        (
            (
                inference(),
                with(tuning(), "/resource", inference()["resource"].clone()),
            ),
            Refused("cannot be added or removed"),
        ),
        (
            (
                tuning(),
                with(inference(), "/resource", tuning()["resource"].clone()),
            ),
            Refused("cannot be added or removed"),
        ),
        (
            (
                template(),
                with(template(), "/inference/template/spec/containers", json!([])),
            ),
            Refused("must hold a container"),
        ),
        (
            (
                unset(),
                with(
                    unset(),
                    "/inference/template/spec/containers",
                    json!([{"name": "t", "image": "i"}]),
                ),
            ),
            Accepted,
        ),
        (
            tune("/tuning/preset/name", json!("phi-4")),
            Refused("field is immutable: tuning.preset"),
        ),
        (
            tune("/tuning/method", json!("lora")),
            Refused("field is immutable: tuning.method"),
        ),
        (
            tune("/tuning/input/name", json!("other")),
            Refused("field is immutable: tuning.input.name"),
        ),
        (
            tune("/tuning/input", json!({"urls": ["https://example.com/other"]})),
            Accepted,
        ),
        (
            tune("/tuning/input", json!({"urls": ["http://169.254.169.254/"]})),
            Refused("loopback, private or link-local"),
        ),
        (
            tune("/tuning/input", json!({"urls": ["ftp://example.com/x"]})),
            Refused("absolute http or https"),
        ),
        (
            tune(
                "/tuning/input",
                json!({"image": "i", "urls": ["https://example.com/x"]}),
            ),
            Refused("exactly one of urls"),
        ),
        (
            tune("/tuning/output", json!({"image": "i"})),
            Refused("imagePushSecret must be specified"),
        ),
        (
            tune("/tuning/output", json!({})),
            Refused("at least one of volumeSource or image"),
        ),
        (tune("/tuning/config", json!("c")), Accepted),
        (
            note("runtime", "native"),
            Refused("computes on processors and would not use the GPUs"),
        ),
        (note("runtime", "vllm"), Accepted),
        (note("runtime", "tgi"), Refused("must be vllm or native")),
        (note("max-context-tokens", "131072"), Accepted),
        (
            note("max-context-tokens", "131073"),
            Refused("must be at most 131072"),
        ),
        (
            note("node-image-family", "windows"),
            Refused("must be ubuntu or azurelinux"),
        ),
        (note("performance-mode", "fast"), Refused("must be balanced")),
        (note("use-local-weights", "1"), Refused("must be true or false")),
        (note("enablelb", "True"), Accepted),
    ];
    let named = |mut object: Value, index: usize| {
        object["metadata"]["name"] = format!("update-{index}").into();
        object
    };
    let case = |(index, ((old, new), expect))| Case {
        old: Some(named(old, index)),
        object: named(new, index),
        expect,
    };
    cases.into_iter().enumerate().map(case).collect()
}
