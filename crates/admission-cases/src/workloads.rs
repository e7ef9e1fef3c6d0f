//! Workspaces to be created: templates, adapters, tuning.

use serde_json::{Value, json};

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

pub(crate) fn templates() -> Cases {
    let spec = |spec: Value| with(template(), "/inference/template", json!({"spec": spec}));
    let image = "registry.example.com/s:1";
    vec![
        (
            with(template(), "/inference/template", json!({})),
            Refused("must hold a container"),
        ),
        (
            spec(json!({})),
            Refused("inference.template.spec.containers: must be specified"),
        ),
        (spec(json!({"containers": []})), Refused("must hold a container")),
        (
            spec(json!({"containers": [{"image": image}]})),
            Refused("containers[0].name: must be specified"),
        ),
        (
            spec(json!({"containers": [{"name": "Server", "image": image}]})),
            Refused("needs an image and a name"),
        ),
        (
            spec(json!({"containers": [{"name": "s"}]})),
            Refused("needs an image and a name"),
        ),
        (
            spec(json!({"containers": [{"name": "s", "image": ""}]})),
            Refused("needs an image and a name"),
        ),
        (
            spec(json!({"containers": [{"name": "s", "image": image}, {"name": "", "image": image}]})),
            Refused("needs an image and a name"),
        ),
        (
            spec(
                json!({"containers": [{"name": "s", "image": image, "args": ["-x"]}], "nodeSelector": {"a": "b"}}),
            ),
            Accepted,
        ),
        (
            with(template(), "/inference/template", json!("x")),
            Refused("template"),
        ),
    ]
}

pub(crate) fn adapted() -> Cases {
    let image = |name: &str| json!({"source": {"name": name, "image": "registry.example.com/a:1"}});
    let strong = |strength: &str| {
        let mut adapter = image("a");
        adapter["strength"] = strength.into();
        self::adapter(adapter)
    };
    let several = |count: usize| {
        adapters(
            (0..count)
                .map(|n| image(&format!("a{n}")))
                .collect::<Vec<_>>()
                .into(),
        )
    };
    let volume = |volume: Value| adapter(json!({"source": {"name": "a", "volumeSource": volume}}));
    vec![
        (adapter(image("a")), Accepted),
        (several(10), Accepted),
        (several(11), Refused("adapters")),
        (
            adapters(json!([image("a"), image("a")])),
            Refused("a name of its own"),
        ),
        (adapter(json!({})), Refused("a name of its own")),
        (
            adapter(json!({"source": {"image": "i"}})),
            Refused("a name of its own"),
        ),
        (
            adapter(json!({"source": {"name": "a"}})),
            Refused("either image or volumeSource"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i", "urls": ["https://example.com/x"]}})),
            Refused("urls are not supported"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i", "volumeSource": {"emptyDir": {}}}})),
            Refused("either image or volumeSource"),
        ),
        (
            adapter(image("A_b")),
            Refused("lower-case letters, digits, dashes and dots"),
        ),
        (adapter(image(&"a".repeat(253))), Accepted),
        (adapter(image(&"a".repeat(254))), Refused("name")),
        (adapter(image("llama-3.1.adapter")), Accepted),
        (
            adapter(image("a..b")),
            Refused("lower-case letters, digits, dashes and dots"),
        ),
        (
            adapter(image("..")),
            Refused("lower-case letters, digits, dashes and dots"),
        ),
        (strong("0.5"), Accepted),
        (strong("1.0"), Accepted),
        (strong("0"), Accepted),
        (strong(".5"), Accepted),
        (strong("1.5"), Refused("from 0 to 1")),
        (strong("-0.5"), Refused("from 0 to 1")),
        (strong("NaN"), Refused("from 0 to 1")),
        (strong("0x1p-2"), Refused("from 0 to 1")),
        (strong("half"), Refused("from 0 to 1")),
        (
            volume(json!({"persistentVolumeClaim": {"claimName": "c"}})),
            Accepted,
        ),
        (volume(json!({})), Refused("exactly one kind of volume")),
        (
            volume(json!({"emptyDir": {}, "hostPath": {"path": "/x"}})),
            Refused("exactly one kind of volume"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "Registry/UPPER:1"}})),
            Accepted,
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "localhost:5000/a/b:1"}})),
            Accepted,
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "a@sha256:0123456789abcdef0123456789abcdef"}})),
            Refused("not an image reference"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": format!("a:1@sha256:{}", "0a".repeat(32))}})),
            Accepted,
        ),
        (
            adapter(json!({"source": {"name": "a", "image": format!("a@sha256:{}", "0A".repeat(32))}})),
            Refused("not an image reference"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": format!("a@md5:{}", "0a".repeat(16))}})),
            Refused("not an image reference"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i", "imagePullSecrets": [""]}})),
            Refused("names of Secrets"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i", "imagePullSecrets": ["SECRET_HERE"]}})),
            Accepted,
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i", "imagePullSecrets": ["my.secret"]}})),
            Accepted,
        ),
        (
            volume(json!({"secret": {"secretName": "s"}})),
            Refused("a volumeSource must be persistentVolumeClaim"),
        ),
        (volume(json!({"floppy": {}})), Refused("floppy: unknown field")),
        (
            adapter(json!({"source": {"name": "a", "image": "https://example.com/a"}})),
            Refused("not an image reference"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i:tag:tag"}})),
            Refused("not an image reference"),
        ),
    ]
}

pub(crate) fn tuned() -> Cases {
    let output = |output: Value| with(tuning(), "/tuning/output", output);
    let set = |field: &str, value: Value| with(tuning(), &format!("/tuning/{field}"), value);
    let mut cases = vec![
        (
            with(tuning(), "/resource/count", json!(2)),
            Refused("resource.count must be 1"),
        ),
        (
            set("preset", Value::Null),
            Refused("tuning.preset must be specified"),
        ),
        (set("method", json!("lora")), Accepted),
        (set("method", json!("QLoRA")), Accepted),
        (set("method", json!("dora")), Refused("must be lora or qlora")),
        (set("method", Value::Null), Refused("must be lora or qlora")),
        (
            with(tuning(), "/tuning/preset/name", json!("llama-3.3-70b-instruct")),
            Refused("cannot be tuned; those that can are"),
        ),
        (
            with(tuning(), "/tuning/preset/name", json!("mistral-7b")),
            Accepted,
        ),
        (set("input", Value::Null), Refused("exactly one of urls")),
        (
            source(json!({"urls": ["https://example.com/a"], "image": "i"})),
            Refused("exactly one of urls"),
        ),
        (source(json!({"image": "registry.example.com/data:1"})), Accepted),
        (
            source(json!({"image": "not an image"})),
            Refused("name:tag: not an image"),
        ),
        (
            source(json!({"volumeSource": {"hostPath": {"path": "/data"}}})),
            Accepted,
        ),
        (
            source(json!({"volumeSource": {}})),
            Refused("exactly one kind of volume"),
        ),
        (source(json!({"name": "data", "image": "i"})), Accepted),
        (
            source(json!({"name": "Data Set", "image": "i"})),
            Refused("tuning.input.name"),
        ),
        (
            set("output", Value::Null),
            Refused("at least one of volumeSource or image"),
        ),
        (
            output(json!({
                "image": "i", "imagePushSecret": "s", "volumeSource": {"persistentVolumeClaim": {"claimName": "c"}},
            })),
            Accepted,
        ),
        (
            output(json!({"image": "i", "volumeSource": {"emptyDir": {}}})),
            Refused("imagePushSecret must be specified"),
        ),
        (
            output(json!({"image": "i"})),
            Refused("imagePushSecret must be specified"),
        ),
        (output(json!({"image": "I", "imagePushSecret": "s"})), Accepted),
        (
            output(json!({"image": "i", "imagePushSecret": ""})),
            Refused("names of Secrets"),
        ),
        (
            output(json!({"volumeSource": {"persistentVolumeClaim": {"claimName": "c"}}})),
            Accepted,
        ),
        (
            output(json!({"volumeSource": {"emptyDir": {}, "configMap": {"name": "c"}}})),
            Refused("exactly one kind of volume"),
        ),
    ];
    for good in [
        "https://8.8.8.8/x",
        "https://10.example.com/x",
        "http://example.com",
        "HTTPS://example.com/x",
        "http://example.com:65535/x",
        "http://example.com:80",
        "https://[2606:4700::1111]/x",
        "https://[2001:4860:4860::8888]:443/x",
    ] {
        cases.push((url(good), Accepted));
    }
    for bad in [
        "http://example.com:port/x",
        "http://example.com:65536/x",
        "http://example.com:123456/x",
        "http://a b/x",
        "http://example.com/a\nb",
        "http://example.com/a\tb",
        "http://[::1/x",
    ] {
        cases.push((url(bad), Refused("must have a port from 0 to 65535")));
    }
    for bad in [
        "ftp://example.com/x",
        "/etc/passwd",
        "http://me@example.com/x",
        "https://",
    ] {
        cases.push((url(bad), Refused("absolute http or https")));
    }
    for bad in [
        "localhost",
        "a.localhost",
        "localhost.",
        "metadata.google.internal",
        "metadata.google",
        "instance-data.ec2.internal",
        "kubernetes.default.svc",
    ] {
        cases.push((
            url(&format!("http://{bad}/x")),
            Refused("must not target a local, cluster or metadata endpoint"),
        ));
    }
    for bad in ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"] {
        cases.push((url(&format!("http://{bad}/x")), Refused("oddly written address")));
    }
    for bad in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[::ffff:10.0.0.1]",
        "[2002:a00:1::]",
        "[2001:db8::1]",
        "[2001::1]",
        "[64:ff9b::a00:1]",
    ] {
        cases.push((
            url(&format!("http://{bad}/x")),
            Refused("loopback, private or link-local"),
        ));
    }
    cases
}
