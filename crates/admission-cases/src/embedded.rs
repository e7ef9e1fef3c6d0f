//! Workspaces whose template or volume has wrong fields or types, and those with unusual right ones.

use serde_json::{Value, json};

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

pub(crate) fn templates() -> Cases {
    let spec =
        |field: &str, value: Value| with(template(), &format!("/inference/template/spec/{field}"), value);
    let of_container = |field: &str, value: Value| spec(&format!("containers/0/{field}"), value);
    let request = |quantity: Value| of_container("resources", json!({"requests": {"memory": quantity}}));
    vec![
        (spec("contaners", json!([])), Refused("contaners")),
        (
            of_container("imagePullPolcy", json!("Always")),
            Refused("imagePullPolcy"),
        ),
        (of_container("resources", json!({"limit": {}})), Refused("limit")),
        // A template cannot have them.
        (
            spec("ephemeralContainers", json!([])),
            Refused("ephemeralContainers"),
        ),
        (
            with(
                template(),
                "/inference/template/metadata",
                json!({"label": {"a": "b"}}),
            ),
            Refused("label"),
        ),
        (
            with(
                template(),
                "/inference/template/metadata",
                json!({"labels": {"a": "b"}, "annotations": {"c": "d"}, "creationTimestamp": null}),
            ),
            Accepted,
        ),
        (spec("containers", json!({"name": "s"})), Refused("containers")),
        (of_container("args", json!("-x")), Refused("args")),
        (of_container("args", json!([1])), Refused("args")),
        (
            of_container("env", json!([{"name": "A", "value": 1}])),
            Refused("value"),
        ),
        (of_container("env", json!([{"value": "1"}])), Refused("name")),
        (
            of_container("ports", json!([{"containerPort": "80"}])),
            Refused("containerPort"),
        ),
        (
            of_container(
                "ports",
                json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]),
            ),
            Accepted,
        ),
        (
            of_container(
                "readinessProbe",
                json!({"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 5}),
            ),
            Accepted,
        ),
        (
            of_container("livenessProbe", json!({"httpGet": {"port": 8080}})),
            Accepted,
        ),
        (
            of_container("livenessProbe", json!({"httpGet": {"port": 80.5}})),
            Refused("port"),
        ),
        (request(json!("10Gi")), Accepted),
        (request(json!("0.5")), Accepted),
        (request(json!(2)), Accepted),
        (request(json!("10GB")), Refused("memory")),
        (request(json!({})), Refused("memory")),
        (spec("hostNetwork", json!("true")), Refused("hostNetwork")),
        (spec("terminationGracePeriodSeconds", json!(30)), Accepted),
        (spec("nodeSelector", json!({"a": 1})), Refused("nodeSelector")),
        (spec("tolerations", json!([{"operator": "Exists"}])), Accepted),
        (nothing("nodeSelector"), Refused("nodeSelector: must not be null")),
        (nothing("volumes"), Refused("volumes: must not be null")),
    ]
}

/// A template with a field that is null. Server-side apply refuses it; a plain create drops the field.
fn nothing(field: &str) -> Value {
    let mut object = template();
    object["inference"]["template"]["spec"][field] = Value::Null;
    object
}

pub(crate) fn volumes() -> Cases {
    let source = |volume: Value| source(json!({"volumeSource": volume}));
    let adapter = |volume: Value| adapter(json!({"source": {"name": "a", "volumeSource": volume}}));
    let output = |volume: Value| with(tuning(), "/tuning/output", json!({"volumeSource": volume}));
    let claim = |spec: Value| json!({"ephemeral": {"volumeClaimTemplate": {"spec": spec}}});
    let size = |size: Value| {
        claim(json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}))
    };
    vec![
        (
            source(json!({"persistentVolumeClaim": {"claimname": "c"}})),
            Refused("claimname"),
        ),
        (source(json!({"persistentVolumeClaim": {}})), Refused("claimName")),
        (
            source(json!({"persistentVolumeClaim": "c"})),
            Refused("persistentVolumeClaim"),
        ),
        (source(json!({"hostPath": {"path": 1}})), Refused("path")),
        (source(json!({"name": "v", "emptyDir": {}})), Refused("name")),
        (source(json!({"emptyDir": {"sizeLimit": "1Gi"}})), Accepted),
        (
            adapter(json!({"configMap": {"name": "c", "defaultMode": "0440"}})),
            Refused("defaultMode"),
        ),
        (
            adapter(json!({"configMap": {"name": "c", "defaultMode": 288}})),
            Accepted,
        ),
        (
            adapter(json!({"configMap": {"name": "c", "defaultMode": 4_294_967_296_u64}})),
            Refused("defaultMode"),
        ),
        (
            adapter(json!({"csi": {"driver": "d", "volumeAttributes": {"a": "b"}}})),
            Accepted,
        ),
        (
            adapter(json!({"csi": {"driver": "d", "volumeAttributes": {"a": true}}})),
            Refused("volumeAttributes"),
        ),
        (output(size(json!("100Gi"))), Accepted),
        (output(size(json!(100))), Accepted),
        (output(size(json!("100 Gi"))), Refused("storage")),
        (output(claim(json!({"acessModes": []}))), Refused("acessModes")),
        (
            output(json!({"nfs": {"server": "s", "path": "/", "readOnly": "yes"}})),
            Refused("readOnly"),
        ),
    ]
}
