//! Annotations buy no node, and no node outlives its Workspace.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::faults::own;
use crate::world::{self, LIMIT, World};

#[tokio::test]
async fn an_annotation_of_the_workload_buys_no_node_and_is_put_back() -> Result<()> {
    let world = world::shared().await?;
    let name = world.apply(&world.inference("scribbled")).await?;
    world.ready(&name).await?;
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    for count in ["5", "4294967295"] {
        let body = json!({
            "metadata": {"annotations": {"kaito.sh/node-count": count}},
            "spec": {"replicas": 3},
        });
        let user = PatchParams::apply("user");
        deployments.patch(&name, &user, &Patch::Merge(&body)).await?;
        world
            .env
            .eventually("annotation and replicas to be put back", LIMIT, async || {
                let found = deployments.get(&name).await?;
                let replicas = found.spec.replicas;
                let annotation = found.annotations().get("kaito.sh/node-count").cloned();
                ensure!(
                    replicas == Some(1) && annotation.as_deref() == Some("1"),
                    "{replicas:?} {annotation:?}"
                );
                Ok(())
            })
            .await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure!(world.machines(&name).await?.len() == 1, "no node was bought");
    }
    world.delete(&name).await
}

#[tokio::test]
async fn claim_node_and_pool_go_although_the_finalizer_was_stripped() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let name = world.apply(&world.inference("stripped")).await?;
    world.ready(&name).await?;
    // Without the controller, no claim is deleted in time.
    stack.controller.kill9()?;
    let none = json!({"metadata": {"finalizers": null}});
    let workspaces = world.workspaces();
    workspaces
        .patch(&name, &PatchParams::default(), &Patch::Merge(&none))
        .await?;
    workspaces.delete(&name, &DeleteParams::default()).await?;
    ensure!(
        workspaces.get_opt(&name).await?.is_none(),
        "the Workspace is there"
    );
    world.forget_leader("workspace-controller").await?;
    stack.controller = stack.programs.start_controller(env)?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let machines = world.machines(&name).await?;
    let live = machines
        .iter()
        .filter(|machine| machine.metadata.deletion_timestamp.is_none());
    ensure!(live.count() == 1, "the claim is watched for two minutes first");
    world
        .env
        .eventually("the claim to be deleted", LIMIT, async || {
            let machines = world.machines(&name).await?;
            let live = machines
                .iter()
                .find(|machine| machine.metadata.deletion_timestamp.is_none());
            live.map_or(Ok(()), |machine| bail!("{} is there", machine.name_any()))
        })
        .await?;
    world.gone(&name).await
}
