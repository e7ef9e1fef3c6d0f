//! A new version of the operator restarts no model until that is asked for.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::faults::own;
use crate::world::{LIMIT, World};

const IMAGE: &str = "example.com/base:2";

fn image(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.template.spec.as_ref()?;
    pod.containers.first()?.image.as_deref()
}

async fn annotate(world: &World, name: &str, key: &str, value: &str) -> Result<()> {
    let body = json!({"metadata": {"annotations": {key: value}}});
    let workspaces = world.workspaces();
    workspaces
        .patch(name, &PatchParams::default(), &Patch::Merge(&body))
        .await?;
    Ok(())
}

#[tokio::test]
async fn another_base_image_restarts_no_model_until_one_is_asked() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut before = Vec::new();
    for name in ["one", "two"] {
        world.apply(&world.inference(name)).await?;
    }
    for name in ["one", "two"] {
        world.ready(name).await?;
        before.push(deployments.get(name).await?);
    }
    let old = image(&before[0]).context("no image")?.to_owned();

    stack.controller.kill9()?;
    world.forget_leader("workspace-controller").await?;
    stack.controller = stack
        .programs
        .start_upgraded_controller(env, &["--base-image", IMAGE])?;
    for name in ["one", "two"] {
        let announced = world.env.eventually("the announcement", LIMIT, async || {
            let says = world.condition(name, "WorkspaceReady", "True", None).await?;
            ensure!(says.contains("UpgradeAvailable: "), "{says}");
            Ok(says)
        });
        let says = announced.await?;
        ensure!(says.contains(&format!("{old} -> {IMAGE}")), "{says}");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    for deployment in &before {
        let now = deployments.get(&deployment.name_any()).await?;
        ensure!(
            now.metadata.generation == deployment.metadata.generation,
            "{now:?}"
        );
    }

    annotate(&world, "one", "kaito.sh/upgrade", "now").await?;
    let has = async |name: &str, wanted: &str| {
        world
            .env
            .eventually(&format!("{name} with {wanted}"), LIMIT, async || {
                let now = deployments.get(name).await?;
                ensure!(image(&now) == Some(wanted), "{:?}", image(&now));
                Ok(())
            })
            .await
    };
    has("one", IMAGE).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let other = deployments.get("two").await?;
    ensure!(
        other.metadata.generation == before[1].metadata.generation,
        "only one is rolled"
    );

    let mut kept = world.revisions("one").await?;
    kept.sort_by_key(|revision| revision.revision);
    ensure!(kept.len() == 2, "{kept:?}");
    annotate(&world, "one", "kaito.sh/rollback-to", &kept[0].name_any()).await?;
    has("one", &old).await?;
    world.ready("one").await?;
    for name in ["one", "two"] {
        world.delete(name).await?;
    }
    Ok(())
}
