//! The API server rejects a wrong Workspace with a message that a person understands, and accepts right ones.

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use serde_json::{Value, json};
use testkit::TestEnv;

use admission_cases::with;

fn workspaces(client: Client, namespace: &str, version: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("kaito.sh", version, "Workspace");
    Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind))
}

fn inference() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"},
        "resource": {"instanceType": "Standard_NC6s_v3", "labelSelector": {"matchLabels": {"apps": "phi-3"}}},
        "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}}
    })
}

fn tuning() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "t"},
        "resource": {"instanceType": "Standard_NC6s_v3", "labelSelector": {"matchLabels": {"apps": "phi-3"}}},
        "tuning": {
            "preset": {"name": "phi-3-mini-128k-instruct"}, "method": "qlora",
            "input": {"urls": ["https://example.com/data.parquet?download=true"]},
            "output": {"image": "registry.example.com/out:1", "imagePushSecret": "push"}
        }
    })
}

async fn apply(api: &Api<DynamicObject>, object: &Value) -> Result<(), String> {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let parameters = PatchParams {
        dry_run: true,
        ..PatchParams::apply("test").force()
    };
    match api.patch(&name, &parameters, &Patch::Apply(object)).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) => Err(status.message),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn wrong_workspaces_are_refused_with_a_sentence() -> Result<()> {
    let env = TestEnv::shared_with_nodes().await?;
    testkit::install_crds(env.client().await?).await?;
    let api = workspaces(env.client().await?, &env.namespace().await?, "v1beta1");
    let url = |url: &str| with(tuning(), "/tuning/input/urls", json!([url]));
    let adapter = |adapter: Value| with(inference(), "/inference/adapters", json!([adapter]));
    let cases: Vec<(Value, &str)> = vec![
        (with(inference(), "/inference", Value::Null), "not neither"),
        (
            with(inference(), "/tuning", tuning()["tuning"].clone()),
            "but not both",
        ),
        (
            with(inference(), "/resource", Value::Null),
            "resource must be specified",
        ),
        (
            with(inference(), "/metadata", json!({"name": "1w"})),
            "start with a letter",
        ),
        (
            with(inference(), "/metadata", json!({"name": "w".repeat(53)})),
            "at most 52",
        ),
        (with(inference(), "/resource/count", json!(0)), "resource.count"),
        (
            with(
                inference(),
                "/resource/labelSelector",
                json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]}),
            ),
            "operator In and one value",
        ),
        (
            with(inference(), "/inference", json!({})),
            "inference.preset or inference.template must be specified",
        ),
        (
            with(
                inference(),
                "/inference/template",
                json!({"spec": {"containers": []}}),
            ),
            "cannot be set at the same time",
        ),
        (
            with(inference(), "/inference/preset", json!({"name": ""})),
            "inference.preset.name",
        ),
        (
            adapter(json!({"source": {"name": "a", "urls": ["https://example.com/x"], "image": "i"}})),
            "urls are not supported",
        ),
        (
            adapter(json!({"source": {"name": "a"}})),
            "either image or volumeSource",
        ),
        (
            adapter(json!({"source": {"image": "i"}})),
            "a source with a name of its own",
        ),
        (
            adapter(json!({"strength": "1.0"})),
            "a source with a name of its own",
        ),
        (
            adapter(json!({"source": {"name": "A_b", "image": "i"}})),
            "lower-case letters, digits, dashes and dots",
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i"}, "strength": "1.5"})),
            "from 0 to 1",
        ),
        (
            adapter(json!({"source": {"name": "a", "image": "i"}, "strength": "NaN"})),
            "from 0 to 1",
        ),
        (
            with(
                inference(),
                "/inference/adapters",
                json!([{"source": {"name": "a", "image": "i"}}, {"source": {"name": "a", "image": "j"}}]),
            ),
            "a name of its own",
        ),
        (
            with(
                inference(),
                "/inference/adapters",
                json!(
                    (0..11)
                        .map(|i| json!({"source": {"name": format!("a{i}"), "image": "i"}}))
                        .collect::<Vec<_>>()
                ),
            ),
            "at most 10",
        ),
        (
            with(tuning(), "/tuning/preset", Value::Null),
            "tuning.preset must be specified",
        ),
        (
            with(tuning(), "/tuning/method", json!("dora")),
            "tuning.method must be lora or qlora",
        ),
        (
            with(tuning(), "/tuning/method", Value::Null),
            "tuning.method must be lora or qlora",
        ),
        (
            with(tuning(), "/tuning/input", json!({})),
            "exactly one of urls, volumeSource or image must be specified in tuning.input",
        ),
        (
            with(tuning(), "/tuning/input/image", json!("i")),
            "exactly one of urls, volumeSource or image",
        ),
        (
            with(tuning(), "/tuning/output", json!({})),
            "at least one of volumeSource or image must be specified in tuning.output",
        ),
        (
            with(tuning(), "/tuning/output/imagePushSecret", Value::Null),
            "imagePushSecret must be specified",
        ),
        (
            with(tuning(), "/resource/count", json!(2)),
            "resource.count must be 1 for tuning",
        ),
        (url("ftp://example.com/x"), "absolute http or https"),
        (url("/etc/passwd"), "absolute http or https"),
        (url("http://localhost/x"), "local, cluster or metadata endpoint"),
        (
            url("http://metadata.google.internal./x"),
            "local, cluster or metadata endpoint",
        ),
        (
            url("http://kubernetes.default.svc/x"),
            "local, cluster or metadata endpoint",
        ),
        (
            url("http://169.254.169.254/latest"),
            "loopback, private or link-local",
        ),
        (url("http://127.0.0.1:8080/x"), "loopback, private or link-local"),
        (url("http://2130706433/x"), "oddly written address"),
        (url("http://0x7f.1/x"), "oddly written address"),
        (url("http://0177.0.0.1/x"), "oddly written address"),
        (url("http://me@example.com/x"), "without a user name"),
        (url("http://[::1]/x"), "loopback, private or link-local"),
        (url("http://10.1.2.3/x"), "loopback, private or link-local"),
        (url("http://100.100.100.200/x"), "loopback, private or link-local"),
        (url("http://168.63.129.16/x"), "loopback, private or link-local"),
    ];
    for (object, want) in &cases {
        match apply(&api, object).await {
            Ok(()) => bail!("accepted, want {want:?}: {object}"),
            Err(message) => ensure!(
                message.contains(want),
                "want {want:?}, got {message:?} for {object}"
            ),
        }
    }
    for good in [
        inference(),
        tuning(),
        url("https://8.8.8.8/x"),
        url("https://10.example.com/x"),
        url("https://0xdata.example.com/x"),
        adapter(json!({"source": {"name": "a", "image": "i"}, "strength": "0.5"})),
    ] {
        apply(&api, &good)
            .await
            .map_err(anyhow::Error::msg)
            .with_context(|| good.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn what_must_not_change_does_not_change() -> Result<()> {
    let env = TestEnv::shared_with_nodes().await?;
    testkit::install_crds(env.client().await?).await?;
    let namespace = env.namespace().await?;
    let api = workspaces(env.client().await?, &namespace, "v1beta1");
    let parameters = PatchParams::apply("test").force();
    api.patch("w", &parameters, &Patch::Apply(&inference())).await?;
    api.patch("t", &parameters, &Patch::Apply(&tuning())).await?;
    let edits: Vec<(Value, &str)> = vec![
        (
            with(inference(), "/resource/instanceType", json!("Standard_NC12s_v3")),
            "resource.instanceType cannot be changed",
        ),
        (
            with(inference(), "/resource/count", json!(2)),
            "field is immutable: resource.count",
        ),
        (
            with(
                inference(),
                "/resource/labelSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
            "resource.labelSelector",
        ),
        (
            with(inference(), "/inference/preset", json!({"name": "phi-4"})),
            "field is immutable: inference.preset",
        ),
        (
            with(tuning(), "/tuning/method", json!("lora")),
            "field is immutable: tuning.method",
        ),
    ];
    for (edit, want) in &edits {
        match apply(&api, edit).await {
            Ok(()) => bail!("accepted, want {want:?}: {edit}"),
            Err(message) => ensure!(message.contains(want), "want {want:?}, got {message:?}"),
        }
    }
    apply(&api, &with(inference(), "/inference/config", json!("params")))
        .await
        .map_err(anyhow::Error::msg)?;
    Ok(())
}

#[tokio::test]
async fn both_versions_serve_one_object_and_the_seed_s_columns_are_there() -> Result<()> {
    let env = TestEnv::shared_with_nodes().await?;
    testkit::install_crds(env.client().await?).await?;
    let namespace = env.namespace().await?;
    let old = workspaces(env.client().await?, &namespace, "v1alpha1");
    let new = workspaces(env.client().await?, &namespace, "v1beta1");
    let object = with(inference(), "/apiVersion", json!("kaito.sh/v1alpha1"));
    old.patch("w", &PatchParams::apply("test"), &Patch::Apply(&object))
        .await?;
    let read = new.get("w").await?;
    ensure!(
        read.data["resource"]["instanceType"] == "Standard_NC6s_v3",
        "{:?}",
        read.data
    );
    let header = columns(&env.client().await?, &namespace, "v1alpha1").await?;
    ensure!(
        header
            == [
                "Name",
                "Instance",
                "ResourceReady",
                "InferenceReady",
                "WorkspaceReady",
                "Age"
            ],
        "{header:?}"
    );
    let header = columns(&env.client().await?, &namespace, "v1beta1").await?;
    let want = [
        "Name",
        "Instance",
        "ResourceReady",
        "InferenceReady",
        "JobStarted",
        "WorkspaceSucceeded",
        "TargetNodeCount",
        "State",
        "Reason",
        "Model",
        "Endpoint",
        "Age",
    ];
    ensure!(header == want, "{header:?}");
    Ok(())
}

async fn columns(client: &Client, namespace: &str, version: &str) -> Result<Vec<String>> {
    let request = axum::http::Request::get(format!(
        "/apis/kaito.sh/{version}/namespaces/{namespace}/workspaces"
    ))
    .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
    .body(Vec::new())?;
    let table: Value = client.request(request).await?;
    let columns = table["columnDefinitions"].as_array().context("no table")?;
    let shown = columns.iter().filter(|c| c["priority"] == 0);
    Ok(shown
        .filter_map(|c| c["name"].as_str().map(str::to_owned))
        .collect())
}
