//! Workspaces with what must become of them: the same list is put to `lint` here and to a real API server by the
//! integration tests, which demand equal verdicts.
//!
//! Settings: nodes are made, the cloud is azure, the catalogue is the built-in one.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "two test binaries include this file and use different parts"
)]

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

use Expect::{Accepted, AsPlanned, Refused};

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
    cases.extend(updated());
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

fn names() -> Cases {
    let named = |name: &str| with(inference(), "/metadata/name", name.into());
    vec![
        (named("w"), Accepted),
        (named("phi-4-mini"), Accepted),
        (named(&"w".repeat(52)), Accepted),
        (named(&"w".repeat(53)), Refused("at most 52")),
        (named("1w"), Refused("start with a letter")),
        (named("w.w"), Refused("start with a letter")),
    ]
}

fn shape() -> Cases {
    let both = with(inference(), "/tuning", tuning()["tuning"].clone());
    vec![
        (inference(), Accepted),
        (tuning(), Accepted),
        (template(), Accepted),
        (
            with(inference(), "/apiVersion", json!("kaito.sh/v1alpha1")),
            Accepted,
        ),
        (
            with(tuning(), "/apiVersion", json!("kaito.sh/v1alpha1")),
            Accepted,
        ),
        (
            with(inference(), "/inference", Value::Null),
            Refused("not neither"),
        ),
        (both, Refused("but not both")),
        (
            with(inference(), "/resource", Value::Null),
            Refused("resource must be specified"),
        ),
        (
            with(inference(), "/inference", json!({})),
            Refused("inference.preset or inference.template"),
        ),
        (
            with(template(), "/inference/preset", json!({"name": "phi-4"})),
            Refused("can't be set at the same time"),
        ),
        (
            with(inference(), "/inference/preset", json!({"name": ""})),
            Refused("preset.name"),
        ),
        (
            with(inference(), "/inference/preset", json!({})),
            Refused("preset.name"),
        ),
        (
            with(inference(), "/inference/preset/accessMode", json!("private")),
            Accepted,
        ),
        (
            with(inference(), "/inference/preset/accessMode", json!("secret")),
            Refused("accessMode"),
        ),
        (
            with(inference(), "/inference/presets", json!({})),
            Refused("presets"),
        ),
        (with(inference(), "/spec", json!({})), Refused("spec")),
        (with(inference(), "/resource/count", json!(1)), Accepted),
        (with(inference(), "/resource/count", json!(3)), Accepted),
        (
            with(inference(), "/resource/count", json!(0)),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/count", json!(-1)),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/count", json!(1001)),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/count", json!("1")),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/preferredNodes", json!(["n"])),
            Accepted,
        ),
        (
            with(inference(), "/resource/preferredNodes", json!([1])),
            Refused("preferredNodes"),
        ),
        (
            with(inference(), "/inference/config", json!("c".repeat(253))),
            Accepted,
        ),
        (
            with(inference(), "/inference/config", json!("c".repeat(254))),
            Refused("inference.config"),
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"modelAccessSecret": "hf"}),
            ),
            Accepted,
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"image": "r.example.com/a:1"}),
            ),
            Accepted,
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"image": "r.example.com/A b"}),
            ),
            Refused("not an image reference"),
        ),
    ]
}

fn presets() -> Cases {
    vec![
        (preset("phi-4"), Accepted),
        (preset("Phi-4"), Accepted),
        (preset("microsoft/phi-4"), Accepted),
        (preset("Microsoft/Phi-4"), Accepted),
        (preset("gemma-3-4b-instruct"), Accepted),
        (preset("llama-3.1-8b-instruct"), Accepted),
        (
            preset("phi-5"),
            Refused("there is no preset phi-5; of a similar name are phi-"),
        ),
        (preset("phi-44"), Refused("there is no preset")),
        (preset("x"), Refused("there is no preset x; `kubectl")),
        (
            preset("acme/phi-4"),
            Refused("there is no preset acme/phi-4; of a similar name are"),
        ),
        (preset("acme/unheard-of"), Refused("there is no preset")),
        (preset("a/b/c"), Refused("there is no preset")),
        (preset("phi-4 "), Refused("there is no preset")),
        (preset(".."), Refused("there is no preset")),
        (preset("4"), Refused("there is no preset")),
        (
            with(tuning(), "/tuning/preset/name", json!("phi-5")),
            Refused("there is no preset phi-5"),
        ),
    ]
}

fn types() -> Cases {
    let cpu = |instance_type: &str| on(preset("smollm2-135m-instruct"), instance_type);
    vec![
        (on(inference(), "standard_nc24ads_a100_v4"), Accepted),
        (on(inference(), ""), Refused("resource.instanceType must be set")),
        (
            with(inference(), "/resource/instanceType", Value::Null),
            Refused("resource.instanceType must be set"),
        ),
        (
            with(template(), "/resource/instanceType", Value::Null),
            Refused("resource.instanceType must be set"),
        ),
        (
            on(inference(), "Standard_NC24ads_A100_v5"),
            Refused("is not known in cloud azure; known are"),
        ),
        (
            on(inference(), "Standard_N"),
            Refused("is not known in cloud azure"),
        ),
        (
            on(inference(), "Standard_D4s_v5"),
            Refused("is not known in cloud azure"),
        ),
        (
            on(inference(), "p4d.24xlarge"),
            Refused("is not known in cloud azure"),
        ),
        (on(inference(), "Standard_D8s_v5"), Refused("needs an NVIDIA GPU")),
        (
            on(inference(), "Standard_NG32ads_V620_v1"),
            Refused("needs an NVIDIA GPU"),
        ),
        (on(tuning(), "Standard_D8s_v5"), Refused("needs an NVIDIA GPU")),
        (
            on(tuning(), "Standard_D4s_v5"),
            Refused("is not known in cloud azure"),
        ),
        (cpu("Standard_D8s_v5"), Accepted),
        (cpu("Standard_D4s_v5"), Accepted),
        (
            cpu("Standard_NC24ads_A100_v5"),
            Refused("is not known in cloud azure"),
        ),
        (cpu("Standard_NC4as_T4_v3"), Accepted),
        (on(template(), "Standard_D4s_v5"), Accepted),
        (on(template(), "Standard_D8s_v5"), Accepted),
        (
            on(template(), "Standard_NX1"),
            Refused("is not known in cloud azure"),
        ),
        (on(inference(), &"x".repeat(257)), Refused("instanceType")),
    ]
}

fn annotations() -> Cases {
    let on_one_t4 = |object| on(object, "Standard_NC4as_T4_v3");
    let big = || on(preset("llama-3.3-70b-instruct"), "Standard_NC24ads_A100_v4");
    let old = || annotated(on_one_t4(preset("phi-4")), "runtime", "native");
    vec![
        (annotated(inference(), "runtime", "vllm"), Accepted),
        (annotated(inference(), "runtime", "vLLM"), Accepted),
        (annotated(inference(), "runtime", " "), Accepted),
        (
            annotated(inference(), "runtime", "tgi"),
            Refused("must be vllm or native"),
        ),
        (annotated(preset("phi-4"), "runtime", "native"), Accepted),
        (annotated(preset("phi-4"), "runtime", "Transformers"), Accepted),
        (
            annotated(preset("gpt-oss-20b"), "runtime", "native"),
            Refused("is not served by the runtime native, only by vllm"),
        ),
        (
            annotated(big(), "runtime", "transformers"),
            Refused("is not served by the runtime"),
        ),
        (big(), Accepted),
        (
            old(),
            Refused(
                "can't run on instance type Standard_NC4as_T4_v3, of which the runtime native uses one node",
            ),
        ),
        (on_one_t4(preset("phi-4")), Accepted),
        (on_one_t4(preset("deepseek-v4-pro")), AsPlanned),
        (annotated(old(), "bypass-resource-checks", ""), Accepted),
        (annotated(old(), "bypass-resource-checks", "false"), Accepted),
        (
            annotated(
                on(preset("phi-4"), "Standard_D8s_v5"),
                "bypass-resource-checks",
                "",
            ),
            Refused("needs an NVIDIA GPU"),
        ),
        (annotated(inference(), "max-context-tokens", "8192"), Accepted),
        (annotated(inference(), "max-context-tokens", " 8192 "), Accepted),
        (annotated(inference(), "max-context-tokens", ""), Accepted),
        (
            annotated(inference(), "max-context-tokens", "0"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "-1"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "8k"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "9999999999"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "131073"),
            Refused("must be at most 131072"),
        ),
        (annotated(inference(), "node-image-family", "ubuntu"), Accepted),
        (
            annotated(inference(), "node-image-family", "AzureLinux"),
            Accepted,
        ),
        (
            annotated(inference(), "node-image-family", "windows"),
            Refused("must be ubuntu or azurelinux"),
        ),
        (annotated(inference(), "performance-mode", "throughput"), Accepted),
        (annotated(inference(), "performance-mode", ""), Accepted),
        (
            annotated(inference(), "performance-mode", "fast"),
            Refused("must be balanced"),
        ),
        (annotated(inference(), "use-local-weights", "true"), Accepted),
        (
            annotated(inference(), "use-local-weights", "yes"),
            Refused("must be true or false"),
        ),
        (annotated(inference(), "anything-else", "x"), Accepted),
        (
            with(
                inference(),
                "/metadata/annotations",
                json!({"example.com/a": "b"}),
            ),
            Accepted,
        ),
        (with(inference(), "/metadata/labels", json!({"a": "b"})), Accepted),
    ]
}

fn selectors() -> Cases {
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
    vec![
        (
            with(inference(), "/resource/labelSelector", Value::Null),
            Accepted,
        ),
        (labels(json!({})), Accepted),
        (labels(json!({"example.com/a_b": "x.y"})), Accepted),
        (labels(json!({"a": ""})), Accepted),
        (labels(reserved.clone()), Refused("not reserved")),
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

fn templates() -> Cases {
    let spec = |spec: Value| with(template(), "/inference/template", json!({"spec": spec}));
    let image = "registry.example.com/s:1";
    vec![
        (
            with(template(), "/inference/template", json!({})),
            Refused("must hold a container"),
        ),
        (spec(json!({})), Refused("must hold a container")),
        (spec(json!({"containers": []})), Refused("must hold a container")),
        (
            spec(json!({"containers": [{"image": image}]})),
            Refused("needs an image and a name"),
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

fn adapted() -> Cases {
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
            Refused("lower-case letters, digits and dashes"),
        ),
        (adapter(image(&"a".repeat(41))), Refused("at most 40")),
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
            Refused("not an image reference"),
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "localhost:5000/a/b:1"}})),
            Accepted,
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "a@sha256:0123456789abcdef0123456789abcdef"}})),
            Accepted,
        ),
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

fn tuned() -> Cases {
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
        (set("method", json!("LoRA")), Refused("must be lora or qlora")),
        (set("method", Value::Null), Refused("must be lora or qlora")),
        (
            with(tuning(), "/tuning/preset/name", json!("llama-3.3-70b-instruct")),
            Refused("can't be tuned; those that can are"),
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
            Refused("exactly one of volumeSource or image"),
        ),
        (
            output(json!({"image": "i", "imagePushSecret": "s", "volumeSource": {"emptyDir": {}}})),
            Refused("exactly one of volumeSource or image"),
        ),
        (
            output(json!({"image": "i"})),
            Refused("imagePushSecret must be specified"),
        ),
        (
            output(json!({"image": "I", "imagePushSecret": "s"})),
            Refused("not an image reference"),
        ),
        (
            output(json!({"volumeSource": {"persistentVolumeClaim": {"claimName": "c"}}})),
            Accepted,
        ),
        (
            output(json!({"volumeSource": {"a": {}, "b": {}}})),
            Refused("exactly one kind of volume"),
        ),
    ];
    for good in [
        "https://8.8.8.8/x",
        "https://10.example.com/x",
        "http://example.com",
        "HTTPS://example.com/x",
    ] {
        let expect = if good.starts_with("HTTPS") {
            Refused("absolute http or https")
        } else {
            Accepted
        };
        cases.push((url(good), expect));
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
    ] {
        cases.push((
            url(&format!("http://{bad}/x")),
            Refused("loopback, private, link-local or IPv6"),
        ));
    }
    cases
}

fn updated() -> Vec<Case> {
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
            Refused("can't be changed once set"),
        ),
        (
            edit("/resource/instanceType", Value::Null),
            Refused("can't be changed once set"),
        ),
        (
            edit("/resource/count", json!(2)),
            Refused("field is immutable: resource.count"),
        ),
        (
            edit("/resource/labelSelector", json!({"matchLabels": {"a": "b"}})),
            Refused("field is immutable: resource.labelSelector"),
        ),
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
            Refused("can't be set or unset later"),
        ),
        (
            (
                inference(),
                with(tuning(), "/resource", inference()["resource"].clone()),
            ),
            Refused("can't be added or removed"),
        ),
        (
            (
                tuning(),
                with(inference(), "/resource", tuning()["resource"].clone()),
            ),
            Refused("can't be added or removed"),
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
            Refused("loopback, private, link-local"),
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
            Refused("exactly one of volumeSource or image"),
        ),
        (tune("/tuning/config", json!("c")), Accepted),
        (
            note("runtime", "native"),
            Refused("is not served by the runtime native"),
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
