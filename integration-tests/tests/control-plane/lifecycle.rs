//! Workspaces become ready and give everything back, and in between nothing is written twice.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kaito_api::labels;
use kube::{Api, ResourceExt as _};

use crate::world::{self, LIMIT};

const EXAMPLES: [&str; 3] = [
    "upstream/kaito_workspace_phi_3.yaml",
    "upstream/kaito_workspace_phi_3_with_adapters.yaml",
    "upstream/kaito_workspace_tuning_phi_3.yaml",
];

#[tokio::test]
async fn the_examples_become_ready_unchanged_and_give_their_nodes_back() -> Result<()> {
    let world = world::shared().await?;
    let mut names = Vec::new();
    for example in EXAMPLES {
        names.push(world.apply_example(example).await?);
    }
    for name in &names {
        world.ready(name).await?;
        for kind in ["ResourceReady", "InferenceReady", "WorkspaceSucceeded"] {
            world.condition(name, kind, "True", None).await?;
        }
        let machines = world.machines(name).await?;
        let pools = world.pools(name).await?;
        ensure!(
            machines.len() == 1 && pools == [machines[0].name_any()],
            "{pools:?}"
        );
        // The examples name a type that is retired.
        let bought = machines[0].spec.requirements.iter();
        let mut bought = bought.filter(|requirement| requirement.key == labels::INSTANCE_TYPE);
        let bought = bought.next().context("no instance type")?;
        ensure!(bought.values == ["Standard_NV36ads_A10_v5"], "{bought:?}");
        let note = world.condition(name, "WorkspaceReady", "True", None).await?;
        ensure!(note.contains("InstanceTypeReplaced"), "{note}");
        let service: Service = Api::namespaced(world.client.clone(), &world.namespace)
            .get(name)
            .await?;
        let ports: Vec<i32> = service
            .spec
            .and_then(|s| s.ports)
            .unwrap_or_default()
            .iter()
            .map(|p| p.port)
            .collect();
        ensure!(ports == [80, 29500], "{ports:?}");
    }
    for example in EXAMPLES {
        world.apply_example(example).await?;
    }
    // The shared system serves other tests too.
    world.quiet(&world.namespace).await?;
    for name in &names {
        world.delete(name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn deleting_in_any_phase_gives_everything_back() -> Result<()> {
    let world = world::shared().await?;
    // At once: before the controller has seen it.
    let name = world.apply(&world.inference("at-once")).await?;
    world.delete(&name).await?;
    // With a claim, before its pool is made.
    let name = world.apply(&world.inference("with-claim")).await?;
    world
        .env
        .eventually("a claim", LIMIT, async || {
            let machines = world.machines("with-claim").await?;
            machines.first().map(drop).context("no claim")
        })
        .await?;
    world.delete(&name).await?;
    // With a pool that is being made.
    let name = world.apply(&world.inference("with-pool")).await?;
    world
        .env
        .eventually("a pool", LIMIT, async || {
            world
                .pools("with-pool")
                .await?
                .first()
                .map(drop)
                .context("no pool")
        })
        .await?;
    world.delete(&name).await?;
    // With a node that is not ready.
    let name = world.apply(&world.inference("with-node")).await?;
    world
        .env
        .eventually("a node", LIMIT, async || {
            world
                .nodes("with-node")
                .await?
                .first()
                .map(drop)
                .context("no node")
        })
        .await?;
    world.delete(&name).await?;
    // With nodes, before the model answers.
    let name = world.apply(&world.inference("with-workload")).await?;
    world.condition(&name, "ResourceReady", "True", None).await?;
    world.delete(&name).await?;
    // Ready, and made again under the same name at once.
    let name = world.apply(&world.inference("ready")).await?;
    world.ready(&name).await?;
    world.delete(&name).await?;
    let name = world.apply(&world.inference("ready")).await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

#[tokio::test]
async fn a_preset_nobody_knows_is_a_condition_that_says_what_would_work() -> Result<()> {
    let world = world::shared().await?;
    let mut object = world.inference("typo");
    object["inference"]["preset"]["name"] = "phi-4-mini-instrct".into();
    let name = world.apply(&object).await?;
    let message = world
        .condition(&name, "ResourceReady", "False", Some("PresetUnknown"))
        .await?;
    ensure!(message.contains("phi-4-mini-instruct"), "{message}");
    ensure!(world.machines(&name).await?.is_empty(), "nothing may be paid for");
    world.delete(&name).await
}

#[tokio::test]
async fn an_instance_type_that_does_not_fit_is_a_condition() -> Result<()> {
    let world = world::shared().await?;
    let mut object = world.inference("tiny");
    object["resource"]["instanceType"] = "Standard_NC6s_v4".into();
    let name = world.apply(&object).await?;
    let message = world
        .condition(&name, "ResourceReady", "False", Some("InstanceTypeUnknown"))
        .await?;
    ensure!(message.contains("did you mean Standard_N"), "{message}");
    world.delete(&name).await
}

#[tokio::test]
async fn a_model_that_spans_nodes_gets_all_of_them() -> Result<()> {
    let world = world::shared().await?;
    let mut object = world.inference("large");
    object["inference"]["preset"] = serde_json::json!({
        "name": "llama-3.3-70b-instruct", "presetOptions": {"modelAccessSecret": "hub"},
    });
    let name = world.apply(&object).await?;
    world.ready(&name).await?;
    ensure!(
        world.machines(&name).await?.len() == 3,
        "llama-3.3-70b needs three A100-80"
    );
    ensure!(world.pools(&name).await?.len() == 3, "one pool a claim");
    world.delete(&name).await
}
