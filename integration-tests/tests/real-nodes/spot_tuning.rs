//! A tuning on spot capacity: the cloud takes the node back, and the next pod continues from the checkpoint on the user's volume.
//! Its result is pushed.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use arm_server::config::{Behavior, OfferingRule};
use arm_server::control::ControlClient;
use installation::{Installation, LIMIT};
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kaito_api::Workspace;
use kaito_api::labels::CAPACITY_TYPE;
use kube::api::{ListParams, LogParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::{shared, tuning};

/// Name of the Workspace, of the ConfigMap, and of the claim for its volume.
const NAME: &str = "spot";
/// Milliseconds from the notice to the end of the machine.
const NOTICE: u64 = 20_000;
/// Steps of the whole run: far more than the cloud lets it do at once.
const STEPS: u32 = 40;

/// Steps on weights of four bits, with a checkpoint after every fourth.
fn config() -> String {
    format!(
        "training_config:
  ModelConfig: {{torch_dtype: float32}}
  QuantizationConfig: {{load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_use_double_quant: true}}
  LoraConfig: {{r: 8, lora_alpha: 16, target_modules: all-linear}}
  DatasetConfig: {{train_test_split: 1}}
  TrainingArguments:
    output_dir: /mnt/elsewhere
    max_steps: {STEPS}
    per_device_train_batch_size: 1
    learning_rate: 1e-3
    save_steps: 4
    save_total_limit: 2
    assistant_only_loss: true
"
    )
}

/// Creates a volume that every node can mount, as a network disk. Returns its directory.
async fn create_volume(system: &Installation, namespace: &str) -> Result<PathBuf> {
    let directory = system.env.cluster().dir().join("network-disk");
    std::fs::create_dir_all(&directory)?;
    // Pods are not root.
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777))?;
    let size = json!({"storage": "1Gi"});
    let claim_ref =
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": NAME});
    let volume = json!({
        "metadata": {"name": format!("{namespace}-{NAME}")},
        "spec": {
            "capacity": size, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "", "claimRef": claim_ref, "hostPath": {"path": directory},
        },
    });
    let claim = json!({
        "metadata": {"name": NAME},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": format!("{namespace}-{NAME}"),
            "resources": {"requests": size},
        },
    });
    let client = system.client().await?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    volumes
        .create(&PostParams::default(), &serde_json::from_value(volume)?)
        .await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, namespace);
    claims
        .create(&PostParams::default(), &serde_json::from_value(claim)?)
        .await?;
    Ok(directory)
}

/// A tuning that prefers spot capacity, keeps its checkpoints on the volume, and pushes its result.
fn workspace(url: &str, image: &str) -> Result<Workspace> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
        "metadata": {"name": NAME, "annotations": {"kaito.sh/capacity-types": "spot,on-demand"}},
        "resource": {"instanceType": "Standard_D8s_v5", "labelSelector": {"matchLabels": {"apps": NAME}}},
        "tuning": {
            "preset": {"name": "smollm2-135m-instruct"}, "method": "qlora", "config": NAME,
            "input": {"urls": [url]},
            "output": {
                "volumeSource": {"persistentVolumeClaim": {"claimName": NAME}},
                "image": image, "imagePushSecret": "push",
            },
        },
    }))?)
}

/// Steps of the checkpoints on the volume.
fn checkpoints(directory: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let steps = names.filter_map(|name| name.strip_prefix("checkpoint-")?.parse().ok());
    steps.collect()
}

/// The Node of the Workspace, and the capacity type with which it was bought.
async fn node(system: &Installation, namespace: &str) -> Result<(String, String)> {
    let names = system.nodes(namespace, NAME).await?;
    let name = names.first().context("there is no Node")?;
    let nodes: Api<Node> = Api::all(system.client().await?);
    let bought = nodes.get(name).await?.labels().get(CAPACITY_TYPE).cloned();
    Ok((name.clone(), bought.context("the Node has no capacity type")?))
}

/// Takes the spot machine back after a notice, and leaves no other one.
async fn evict(system: &Installation, namespace: &str) -> Result<()> {
    let cloud = ControlClient::new(&system.arm_url)?;
    let behavior = cloud.behavior().await?;
    let none_left = OfferingRule {
        spot: Some(true),
        at_once: true,
        ..OfferingRule::default()
    };
    cloud
        .set_behavior(&Behavior {
            offerings: vec![none_left],
            ..behavior
        })
        .await?;
    let pools = system.pools(namespace, NAME).await?;
    let pool = pools.first().context("there is no agent pool")?;
    cloud.evict_pool(pool, NOTICE).await?;
    Ok(())
}

/// Waits for a pod of the tuning that is not one of these, and for the step from which it continues.
async fn continued_from(system: &Installation, pods: &Api<Pod>, former: &BTreeSet<String>) -> Result<u32> {
    let parameters = LogParams {
        container: Some(NAME.to_owned()),
        ..LogParams::default()
    };
    system
        .env
        .eventually("a pod that continues", LIMIT, async || {
            let all = pods.list(&ListParams::default()).await?.items;
            let new = all.into_iter().find(|pod| !former.contains(&pod.name_any()));
            let new = new.context("there is no other pod")?;
            let log = pods.logs(&new.name_any(), &parameters).await?;
            let line = log
                .lines()
                .find(|line| line.contains("continuing from checkpoint"));
            let line = line.with_context(|| log.clone())?;
            let digits = line.split_once("step").context("the line has no step")?.1;
            let digits: String = digits
                .chars()
                .skip_while(|c| !c.is_ascii_digit())
                .take_while(char::is_ascii_digit)
                .collect();
            digits.parse().with_context(|| line.to_owned())
        })
        .await
}

#[tokio::test]
async fn a_tuning_on_spot_capacity_continues_on_the_next_node_and_pushes_its_result() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    tuning::create_inputs(&system, &namespace).await?;
    let client = system.client().await?;
    let parameters = json!({"metadata": {"name": NAME}, "data": {"training_config.yaml": config()}});
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    maps.create(&PostParams::default(), &serde_json::from_value(parameters)?)
        .await?;
    let directory = create_volume(&system, &namespace).await?;
    let image = format!("{}/adapters/spot:1", system.registry_name());
    let workspaces: Api<Workspace> = Api::namespaced(client.clone(), &namespace);
    let object = workspace(&tuning::serve_dataset(&system)?, &image)?;
    workspaces.create(&PostParams::default(), &object).await?;

    let first = system
        .env
        .eventually("a checkpoint", LIMIT, async || {
            let steps = checkpoints(&directory);
            ensure!(!steps.is_empty(), "the volume has no checkpoint");
            node(&system, &namespace).await
        })
        .await?;
    ensure!(first.1 == "spot", "the first Node is {}", first.1);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let former = pods.list(&ListParams::default()).await?.items;
    let former: BTreeSet<String> = former.iter().map(kube::ResourceExt::name_any).collect();

    evict(&system, &namespace).await?;
    let said = system
        .reason(&namespace, NAME, "ResourceReady", "SpotNodeReclaimed")
        .await?;
    ensure!(said.contains(&first.0), "the Node is not named: {said}");
    let step = continued_from(&system, &pods, &former).await?;
    ensure!((4..STEPS).contains(&step), "it continues from step {step}");
    let second = node(&system, &namespace).await?;
    ensure!(second.1 == "on-demand", "the second Node is {}", second.1);

    let message = system
        .env
        .eventually("a digest in the status", 2 * LIMIT, async || {
            let status = workspaces.get(NAME).await?.status.unwrap_or_default();
            let conditions = status.conditions.into_iter();
            let messages: Vec<String> = conditions.map(|found| found.message).collect();
            let pushed = messages.iter().find(|message| message.contains("@sha256:"));
            pushed.cloned().with_context(|| messages.join("; "))
        })
        .await?;
    let digest = message.split_once('@').map(|(_, rest)| rest).unwrap_or_default();
    let digest: String = digest
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == ':')
        .collect();
    ensure!(
        system.registry_has(&digest),
        "the registry does not have {digest}"
    );
    let cloud = ControlClient::new(&system.arm_url)?;
    let behavior = cloud.behavior().await?;
    cloud
        .set_behavior(&Behavior {
            offerings: Vec::new(),
            ..behavior
        })
        .await?;
    system.delete(&namespace, NAME).await
}
