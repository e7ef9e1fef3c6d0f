//! Workspaces to be created: label selectors.

use serde_json::{Value, json};

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

pub(crate) fn selectors() -> Cases {
    let expression = |expression: Value| {
        with(
            inference(),
            "/resource/labelSelector",
            json!({"matchExpressions": [expression]}),
        )
    };
    let reserved = json!({"kaito.sh/workspace": "w"});
    let beside = json!({
        "matchLabels": reserved, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]
    });
    let mut many = serde_json::Map::new();
    many.extend((0..17).map(|n| (format!("a{n}"), json!("b"))));
    let foreign = |key: &str| {
        (
            labels(json!({key: "b", "apps": "w"})),
            Refused("labels that users cannot put on nodes"),
        )
    };
    let own = |key: &str| (labels(json!({key: "b"})), Accepted);
    vec![
        foreign("node-restriction.kubernetes.io/tenant"),
        foreign("kubernetes.io/arch"),
        foreign("node-role.kubernetes.io/control-plane"),
        foreign("kaito.sh/machine-type"),
        foreign("karpenter.sh/nodepool"),
        foreign("kubernetes.azure.com/mode"),
        foreign("nvidia.com/gpu.product"),
        foreign("agentpool"),
        own("app"),
        own("app.kubernetes.io/name"),
        own("notkubernetes.io/a"),
        own("kubernetes.io.example.com/a"),
        (
            with(inference(), "/resource/labelSelector", Value::Null),
            Accepted,
        ),
        (labels(json!({})), Accepted),
        (labels(json!({"example.com/a_b": "x.y"})), Accepted),
        (labels(json!({"a": ""})), Accepted),
        (labels(reserved), Refused("not reserved")),
        (labels(json!({"kaito.sh/workspace": "w", "a": "b"})), Accepted),
        (with(inference(), "/resource/labelSelector", beside), Accepted),
        (
            labels(json!({"karpenter.kaito.sh/inferenceset": "w"})),
            Refused("not reserved"),
        ),
        (
            labels(json!({"-a": "b"})),
            Refused("a key that no label can have: -a"),
        ),
        (
            labels(json!({"a/b/c": "b"})),
            Refused("a key that no label can have"),
        ),
        (
            labels(json!({"Example.com/a": "b"})),
            Refused("a key that no label can have"),
        ),
        (
            labels(json!({"a": "b c"})),
            Refused("a value that no label can have"),
        ),
        (
            labels(json!({"a": "b".repeat(64)})),
            Refused("a value that no label can have"),
        ),
        (labels(json!({"a": 1})), Refused("matchLabels")),
        (labels(Value::Object(many)), Refused("matchLabels")),
        (
            expression(json!({"key": "a", "operator": "In", "values": ["b"]})),
            Accepted,
        ),
        (
            expression(json!({"key": "a", "operator": "In", "values": ["b", "c"]})),
            Refused("operator In and one value"),
        ),
        (
            expression(json!({"key": "a", "operator": "In"})),
            Refused("operator In and one value"),
        ),
        (
            expression(json!({"key": "a", "operator": "Exists"})),
            Refused("operator In and one value"),
        ),
        (
            expression(json!({"key": "a", "operator": "NotIn", "values": ["b"]})),
            Refused("operator In and one value"),
        ),
        (
            expression(json!({"operator": "In", "values": ["b"]})),
            Refused("key"),
        ),
        (
            expression(json!({"key": "agentpool", "operator": "In", "values": ["b"]})),
            Refused("labels that users cannot put on nodes"),
        ),
        (
            expression(json!({"key": "kaito.sh/ragengine", "operator": "In", "values": ["b"]})),
            Refused("not reserved"),
        ),
        (
            expression(json!({"key": "a", "operator": "In", "values": ["b!"]})),
            Refused("a value that no label can have"),
        ),
        (
            expression(json!({"key": "a b", "operator": "In", "values": ["b"]})),
            Refused("a key that no label can have"),
        ),
    ]
}
