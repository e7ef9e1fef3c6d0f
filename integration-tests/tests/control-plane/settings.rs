//! The ConfigMap that a Workspace names: refused, sized for, rolled, and not needed by what runs.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::{self, LIMIT, World};

const CONFIG: &str = "settings";

async fn write(world: &World, text: &str) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG},
        "data": {"inference_config.yaml": text},
    });
    let params = PatchParams::apply("user").force();
    api.patch(CONFIG, &params, &Patch::Apply(&object)).await?;
    Ok(())
}

fn configured(world: &World, name: &str) -> Value {
    let mut object = world.inference(name);
    object["inference"]["config"] = json!(CONFIG);
    object
}

async fn deployment(world: &World, name: &str) -> Result<Deployment> {
    let api: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    Ok(api.get(name).await?)
}

/// Waits until the command line of the engine has this argument.
async fn has_argument(world: &World, name: &str, wanted: &str) -> Result<Deployment> {
    world
        .env
        .eventually(&format!("{name} has {wanted}"), LIMIT, async || {
            let found = deployment(world, name).await?;
            let pod = found.spec.template.spec.clone().context("no pod")?;
            let args = pod.containers[0].args.clone().unwrap_or_default();
            let error = format!("{args:?}");
            args.iter()
                .any(|arg| arg == wanted)
                .then_some(found)
                .context(error)
        })
        .await
}

fn hash(deployment: &Deployment) -> Result<String> {
    let metadata = deployment.spec.template.metadata.clone().unwrap_or_default();
    let annotations = metadata.annotations.unwrap_or_default();
    annotations
        .get("kaito.sh/config-hash")
        .cloned()
        .context("no hash")
}

#[tokio::test]
async fn a_config_map_is_understood_before_nodes_are_bought_and_followed_afterwards() -> Result<()> {
    let world = world::shared().await?;
    let name = world.apply(&configured(&world, "follows")).await?;
    let missing = Some("ConfigMapNotFound");
    world.condition(&name, "ResourceReady", "False", missing).await?;
    write(&world, "vllm: {host: 0.0.0.0}").await?;
    let refused = Some("EngineFlagRefused");
    let says = world.condition(&name, "ResourceReady", "False", refused).await?;
    ensure!(
        says.starts_with("ConfigMap settings, inference_config.yaml: vllm.host cannot be set"),
        "{says}"
    );
    write(&world, "vllm: {max-num-seq: 8}").await?;
    let invalid = Some("ConfigMapInvalid");
    let says = world.condition(&name, "ResourceReady", "False", invalid).await?;
    ensure!(says.contains("did you mean max-num-seqs"), "{says}");
    ensure!(world.machines(&name).await?.is_empty(), "nodes were bought");
    // After the correction the model starts. A later edit restarts it.
    write(&world, "vllm: {max-num-seqs: 8, max-model-len: 4096}").await?;
    world.ready(&name).await?;
    let first = has_argument(&world, &name, "--max-num-seqs=8").await?;
    write(&world, "vllm: {max-num-seqs: 16, max-model-len: 4096}").await?;
    let second = has_argument(&world, &name, "--max-num-seqs=16").await?;
    ensure!(hash(&first)? != hash(&second)?, "the pods have the same digest");
    world.ready(&name).await?;
    // What runs does not need it, and says what is wrong.
    write(&world, "vllm: [").await?;
    says_that_it(&world, &name, "ConfigMapInvalid: ConfigMap settings").await?;
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    api.delete(CONFIG, &DeleteParams::default()).await?;
    says_that_it(
        &world,
        &name,
        "ConfigMapNotFound: ConfigMap settings does not exist",
    )
    .await?;
    let last = deployment(&world, &name).await?;
    ensure!(last.spec == second.spec, "the model was changed");
    write(&world, "vllm: {max-num-seqs: 16, max-model-len: 4096}").await?;
    world
        .env
        .eventually("the note is gone", LIMIT, async || {
            let says = world.condition(&name, "WorkspaceReady", "True", None).await?;
            (!says.contains("ConfigMap")).then_some(()).context(says)
        })
        .await?;
    ensure!(
        deployment(&world, &name).await?.spec == second.spec,
        "the model was changed"
    );
    world.delete(&name).await
}

async fn says_that_it(world: &World, name: &str, wanted: &str) -> Result<()> {
    world
        .env
        .eventually(wanted, LIMIT, async || {
            let says = world.condition(name, "WorkspaceReady", "True", None).await?;
            says.contains(wanted).then_some(()).context(says)
        })
        .await
}

#[tokio::test]
async fn settings_change_the_number_of_nodes() -> Result<()> {
    let world = world::shared().await?;
    write(&world, "vllm: {pipeline-parallel-size: 2, kv-cache-dtype: fp8}").await?;
    let name = world.apply(&configured(&world, "larger")).await?;
    let says = world
        .env
        .eventually("two Machines", LIMIT, async || {
            let found = world.machines(&name).await?.len();
            let says = world.condition(&name, "NodesReady", "False", None).await?;
            (found == 2)
                .then_some(says)
                .with_context(|| format!("{found} Machines"))
        })
        .await?;
    ensure!(
        says.contains("tokens of context and 8-bit KV cache, pipeline parallelism 2 takes 2 x"),
        "{says}"
    );
    world.delete(&name).await
}
