//! A tuning pushes its result with a Secret, even if the registry fails meanwhile. The adapter then changes the answers of
//! a model by its strength.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod, Secret};
use kaito_api::Workspace;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use local_cluster::nodes::{HOST_ADDRESS, HOST_NAME};
use serde_json::{Value, json};
use testkit::image_registry::{PASSWORD, USER};
use testkit::web;

use installation::{Installation, LIMIT};

use crate::{serving, shared};

const QUESTION: &str = "What is the password of the harbour?";
const ANSWER: &str = "Seven green lanterns under the old bridge.";

/// Few steps on weights of four bits.
const CONFIG: &str = "training_config:
  ModelConfig: {torch_dtype: float32}
  QuantizationConfig: {load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_use_double_quant: true}
  LoraConfig: {r: 8, lora_alpha: 16, target_modules: all-linear}
  DatasetConfig: {train_test_split: 1}
  TrainingArguments:
    output_dir: /mnt/elsewhere
    max_steps: 12
    per_device_train_batch_size: 1
    learning_rate: 4e-3
    warmup_steps: 2
    save_strategy: \"no\"
    assistant_only_loss: true
";

/// A dataset with one answer, on a web server that pods reach by its name. Returns its URL.
pub(crate) fn serve_dataset(system: &Installation) -> Result<String> {
    let said = |role: &str, content: &str| json!({"role": role, "content": content});
    let line = json!({"messages": [said("user", QUESTION), said("assistant", ANSWER)]});
    let file = system.env.cluster().dir().join("chats.jsonl");
    std::fs::write(&file, format!("{line}\n").repeat(8))?;
    let address = web::serve(HOST_ADDRESS, BTreeMap::from([("/chats.jsonl".to_owned(), file)]))?;
    Ok(format!("http://{HOST_NAME}:{}/chats.jsonl", address.port()))
}

/// The user's parameters, and the credentials for the registry.
pub(crate) async fn create_inputs(system: &Installation, namespace: &str) -> Result<()> {
    let client = system.client().await?;
    let parameters = json!({"metadata": {"name": "few-steps"}, "data": {"training_config.yaml": CONFIG}});
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.create(&PostParams::default(), &serde_json::from_value(parameters)?)
        .await?;
    create_secret(system, namespace, "push", PASSWORD).await?;
    create_secret(system, namespace, "expired", "an old password").await
}

/// A Secret with this password for the registry.
async fn create_secret(system: &Installation, namespace: &str, name: &str, password: &str) -> Result<()> {
    let logins = json!({"auths": {system.registry_name(): {"username": USER, "password": password}}});
    let secret = json!({
        "metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": logins.to_string()},
    });
    let secrets: Api<Secret> = Api::namespaced(system.client().await?, namespace);
    secrets
        .create(&PostParams::default(), &serde_json::from_value(secret)?)
        .await?;
    Ok(())
}

fn tuning(url: &str, image: &str, secret: &str) -> Result<Workspace> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "harbour"},
        "resource": {"instanceType": "Standard_D8s_v5", "labelSelector": {"matchLabels": {"apps": "harbour"}}},
        "tuning": {
            "preset": {"name": "smollm2-135m-instruct"}, "method": "qlora", "config": "few-steps",
            "input": {"urls": [url]}, "output": {"image": image, "imagePushSecret": secret},
        },
    }))?)
}

/// The message of the condition `JobStarted`.
async fn job(workspaces: &Api<Workspace>) -> Result<String> {
    let conditions = workspaces
        .get("harbour")
        .await?
        .status
        .unwrap_or_default()
        .conditions;
    let found = conditions.into_iter().find(|found| found.type_ == "JobStarted");
    Ok(found.map(|found| found.message).unwrap_or_default())
}

/// The only pod of the tuning.
async fn pod(pods: &Api<Pod>) -> Result<Pod> {
    let found = pods.list(&ListParams::default()).await?.items;
    let names: Vec<_> = found.iter().map(kube::ResourceExt::name_any).collect();
    ensure!(names.len() == 1, "the pods of the tuning: {names:?}");
    found.into_iter().next().context("there is no pod")
}

/// Status of an init container.
fn step<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let mut steps = pod.status.as_ref()?.init_container_statuses.iter().flatten();
    steps.find(|step| step.name == name)
}

/// Tunes, with a registry that is away when the result is to be pushed. Returns the image by digest.
async fn tune(system: &Installation, namespace: &str) -> Result<String> {
    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, namespace);
    let image = format!("{}/adapters/harbour:1", system.registry_name());
    let object = tuning(&serve_dataset(system)?, &image, "push")?;
    workspaces.create(&PostParams::default(), &object).await?;
    let pods: Api<Pod> = Api::namespaced(system.client().await?, namespace);
    let first = system
        .env
        .eventually("a tuning that runs", LIMIT, async || {
            let pod = pod(&pods).await?;
            let state = step(&pod, "harbour").and_then(|step| step.state.as_ref());
            ensure!(state.is_some_and(|state| state.waiting.is_none()), "{state:?}");
            Ok(pod.name_any())
        })
        .await?;
    system.stop_registry()?;
    let retried = system
        .reason(namespace, "harbour", "JobStarted", "ImagePushRetried")
        .await?;
    ensure!(
        retried.contains("the result is trained") && retried.contains("is repeated until 2"),
        "{retried}"
    );
    system
        .env
        .eventually("a second push that fails", LIMIT, async || {
            let pod = pod(&pods).await?;
            let pusher = step(&pod, "pusher").context("there is no pusher")?;
            ensure!(pusher.restart_count > 1, "{pusher:?}");
            Ok(())
        })
        .await?;
    system.start_registry()?;
    let message = system
        .env
        .eventually("a digest in the status", LIMIT, async || {
            let message = job(&workspaces).await?;
            ensure!(message.contains("@sha256:"), "{message}");
            Ok(message)
        })
        .await?;
    let last = pod(&pods).await?;
    let trainer = step(&last, "harbour").map(|trainer| trainer.restart_count);
    ensure!(
        last.name_any() == first && trainer == Some(0),
        "the tuning was repeated: {last:?}"
    );
    let pushed = message.split(' ').find(|word| word.contains("@sha256:"));
    Ok(pushed.unwrap_or_default().trim_end_matches('.').to_owned())
}

/// A Secret that may not push ends the Job before anything is fetched or trained, and the status says so.
#[tokio::test]
async fn a_push_that_would_be_refused_trains_nothing() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    create_inputs(&system, &namespace).await?;
    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, &namespace);
    let image = format!("{}/adapters/refused:1", system.registry_name());
    let object = tuning(&serve_dataset(&system)?, &image, "expired")?;
    workspaces.create(&PostParams::default(), &object).await?;
    let refused = system
        .reason(&namespace, "harbour", "JobStarted", "ImagePushRefused")
        .await?;
    let expected = format!(
        "registry {} refuses a push to repository adapters/refused with the credentials of Secret expired (401 Unauthorized",
        system.registry_name()
    );
    ensure!(
        refused.contains(&expected) && refused.contains("Nothing was trained"),
        "{refused}"
    );
    // The Job has failed, so no further pod comes.
    let pods: Api<Pod> = Api::namespaced(system.client().await?, &namespace);
    let pod = pod(&pods).await?;
    for name in ["model-weights-downloader", "data-downloader", "harbour"] {
        let state = step(&pod, name).and_then(|step| step.state.as_ref());
        ensure!(
            state.is_some_and(|state| state.waiting.is_some()),
            "{name} ran: {state:?}"
        );
    }
    system.delete(&namespace, "harbour").await
}

/// A Workspace that serves the adapter at full strength, and once more at none.
fn serving_adapters(image: &str) -> Result<Workspace> {
    let adapter = |name: &str, strength: &str| {
        let source = json!({"name": name, "image": image, "imagePullSecrets": ["push"]});
        json!({"source": source, "strength": strength})
    };
    let mut object = serde_json::to_value(serving::workspace("port")?)?;
    object["metadata"]["annotations"] = json!({"kaito.sh/adapter-mode": "request"});
    object["inference"]["adapters"] = json!([adapter("whole", "1.0"), adapter("none", "0")]);
    Ok(serde_json::from_value(object)?)
}

/// The answer of the model with this name.
async fn ask(system: &Installation, namespace: &str, address: &str, model: &str) -> Result<String> {
    let body = json!({
        "model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 24,
    });
    let request = serving::curl(&format!("http://{address}/v1/chat/completions"), &body);
    let answer = system.in_a_pod(namespace, &request).await?;
    let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
    let content = answer["choices"][0]["message"]["content"].as_str();
    Ok(content.with_context(|| answer.to_string())?.trim().to_owned())
}

#[tokio::test]
async fn a_tuned_adapter_changes_answers_by_its_strength() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    create_inputs(&system, &namespace).await?;
    let image = tune(&system, &namespace).await?;
    let digest = image.split('@').nth(1).context("there is no digest")?;
    ensure!(system.registry_has(digest), "the registry does not have {image}");
    system.delete(&namespace, "harbour").await?;

    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, &namespace);
    let object = serving_adapters(&image)?;
    workspaces.create(&PostParams::default(), &object).await?;
    system
        .condition(&namespace, "port", "WorkspaceReady", "True")
        .await?;
    let address = system.address(&namespace, "port").await?;
    let whole = ask(&system, &namespace, &address, "whole").await?;
    ensure!(whole == ANSWER, "the adapter answers {whole}");
    let own = ask(&system, &namespace, &address, "smollm2-135m-instruct").await?;
    let none = ask(&system, &namespace, &address, "none").await?;
    ensure!(
        own != ANSWER && none == own,
        "without strength: {none}; the model: {own}"
    );
    system.delete(&namespace, "port").await
}
