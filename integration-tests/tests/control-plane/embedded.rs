//! Templates and volumes inside a Workspace have the fields and types of Kubernetes.

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use testkit::TestEnv;

use admission_cases::{template, tuning, with};

/// The answer to a dry run: its status code, its warnings and its body.
struct Answer {
    code: u16,
    warnings: Vec<String>,
    body: Value,
}

impl Answer {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

/// Creates the object in a dry run, with a level of validation of fields as `kubectl --validate` names them.
async fn create(client: &Client, namespace: &str, object: &Value, validation: &str) -> Result<Answer> {
    let uri = format!(
        "/apis/kaito.sh/v1beta1/namespaces/{namespace}/workspaces?dryRun=All&fieldValidation={validation}"
    );
    let request = axum::http::Request::post(&uri)
        .header("content-type", "application/json")
        .body(Body::from(serde_json::to_vec(object)?))?;
    let response = client.send(request).await?;
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings
        .filter_map(|text| text.to_str().ok().map(str::to_owned))
        .collect();
    let code = response.status().as_u16();
    let body = response.into_body().collect_bytes().await.context("no body")?;
    Ok(Answer {
        code,
        warnings,
        body: serde_json::from_slice(&body)?,
    })
}

fn wrong() -> Vec<(Value, &'static str)> {
    let container = |field: &str, value: Value| {
        let place = format!("/inference/template/spec/containers/0/{field}");
        with(template(), &place, value)
    };
    let volume = |volume: Value| with(tuning(), "/tuning/input", json!({"volumeSource": volume}));
    vec![
        (
            container("imagePullPolcy", json!("Always")),
            r#"unknown field "inference.template.spec.containers[0].imagePullPolcy""#,
        ),
        (
            container("args", json!("-x")),
            "inference.template.spec.containers[0].args: Invalid value: \"string\"",
        ),
        (
            container("resources", json!({"limits": {"memory": "10GB"}})),
            "inference.template.spec.containers[0].resources.limits.memory: Invalid value: \"10GB\"",
        ),
        (
            with(
                template(),
                "/inference/template/spec/ephemeralContainers",
                json!([]),
            ),
            r#"unknown field "inference.template.spec.ephemeralContainers""#,
        ),
        (
            volume(json!({"persistentVolumeClaim": {"claim": "c"}})),
            r#"unknown field "tuning.input.volumeSource.persistentVolumeClaim.claim""#,
        ),
        (
            volume(json!({"hostPath": {"path": true}})),
            "tuning.input.volumeSource.hostPath.path: Invalid value: \"boolean\"",
        ),
        (
            volume(json!({"floppy": {}})),
            r#"unknown field "tuning.input.volumeSource.floppy""#,
        ),
    ]
}

#[tokio::test]
async fn templates_and_volumes_have_the_types_of_kubernetes() -> Result<()> {
    let env = TestEnv::shared_with_nodes().await?;
    let client = env.client().await?;
    testkit::install_crds(client.clone()).await?;
    let namespace = env.namespace().await?;
    for (object, part) in wrong() {
        let answer = create(&client, &namespace, &object, "Strict").await?;
        ensure!(
            answer.code >= 400 && answer.message().contains(part),
            "want {part}, got {}",
            answer.body
        );
    }
    // Clients that ask for less than `kubectl` get a warning, and the field is dropped.
    let (object, _) = &wrong()[0];
    let answer = create(&client, &namespace, object, "Warn").await?;
    ensure!(answer.code == 201, "{}", answer.body);
    ensure!(
        answer.warnings.iter().any(|text| text.contains("imagePullPolcy")),
        "{:?}",
        answer.warnings
    );
    let container = &answer.body["inference"]["template"]["spec"]["containers"][0];
    ensure!(container.get("imagePullPolcy").is_none(), "{container}");
    null_is_absence(&client, &namespace).await
}

async fn null_is_absence(client: &Client, namespace: &str) -> Result<()> {
    let mut object = template();
    let pod = &mut object["inference"]["template"];
    pod["metadata"] = json!({"creationTimestamp": null, "labels": {"a": "b"}});
    pod["spec"]["nodeSelector"] = Value::Null;
    pod["spec"]["containers"][0]["env"] = Value::Null;
    let answer = create(client, namespace, &object, "Strict").await?;
    ensure!(answer.code == 201, "{}", answer.body);
    let stored = &answer.body["inference"]["template"];
    ensure!(stored["metadata"]["labels"]["a"] == "b", "{stored}");
    ensure!(stored["spec"].get("nodeSelector").is_none(), "{stored}");
    Ok(())
}
