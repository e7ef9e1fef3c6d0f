//! A mass deletion of Nodes gives a part of the fleet back, and a full cluster is reported once.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Machine;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use testkit::{Stack, StackOptions, TestEnv};

use crate::world::{LIMIT, World};

/// Most agent pools of the simulated cluster.
const MAX_POOLS: usize = 2;

#[tokio::test]
async fn a_full_cluster_is_reported_once_and_deleted_nodes_follow_one_by_one() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        max_pools: MAX_POOLS,
        node_deletion_percent: 20,
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    let first = ["first", "second"];
    for name in first {
        world.apply(&world.inference(name)).await?;
    }
    for name in first {
        world.ready(name).await?;
    }
    full(&world, &stack).await?;
    deleted_nodes(&world).await
}

/// Returns the reasons of the claims that are not ready.
async fn reasons(world: &World) -> Result<Vec<String>> {
    let machines: Api<Machine> = Api::all(world.client.clone());
    let all = machines.list(&ListParams::default()).await?;
    let mut reasons: Vec<String> = all
        .into_iter()
        .flat_map(|machine| machine.status.unwrap_or_default().conditions)
        .filter(|condition| condition.type_ == "Ready" && condition.status != "True")
        .map(|condition| condition.reason)
        .collect();
    reasons.sort();
    Ok(reasons)
}

async fn metrics(stack: &Stack) -> Result<String> {
    let url = stack.programs.metrics_url("provisioner");
    Ok(crate::probes::get(&url).await?.1)
}

async fn full(world: &World, stack: &Stack) -> Result<()> {
    let more = ["third", "fourth", "fifth"];
    for name in more {
        world.apply(&world.inference(name)).await?;
    }
    world
        .env
        .eventually("one claim to report and the others to wait", LIMIT, async || {
            let reasons = reasons(world).await?;
            ensure!(
                reasons == ["ClusterFull", "WaitingForRoom", "WaitingForRoom"],
                "{reasons:?}"
            );
            Ok(())
        })
        .await?;
    let exported = metrics(stack).await?;
    ensure!(exported.contains("kaito_cluster_full 1"), "{exported}");
    for name in &more[1..] {
        world.delete(name).await?;
    }
    // Any claim may have been the one that asked. Another follows it.
    world.delete("second").await?;
    world.ready("third").await?;
    world.apply(&world.inference("second")).await?;
    world
        .condition("second", "ResourceReady", "False", Some("ClusterFull"))
        .await?;
    world.delete("second").await
}

async fn deleted_nodes(world: &World) -> Result<()> {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let mut claims = Vec::new();
    for name in ["first", "third"] {
        claims.push(world.machines(name).await?.pop().context("no Machine")?);
        let node = world.nodes(name).await?.pop().context("no Node")?;
        nodes.delete(&node.name_any(), &DeleteParams::default()).await?;
    }
    let held = world
        .env
        .eventually("one claim to be held", LIMIT, async || {
            let mut held = Vec::new();
            for name in ["first", "third"] {
                let machine = world.machines(name).await?.pop().context("no Machine")?;
                let conditions = machine.status.unwrap_or_default().conditions;
                if conditions.iter().any(|c| c.reason == "NodeDeletionHeld") {
                    held.push(name);
                }
            }
            ensure!(held.len() == 1, "{held:?}");
            Ok(held[0])
        })
        .await?;
    let followed = if held == "first" { "third" } else { "first" };
    let old = claims[usize::from(followed == "third")].uid();
    world
        .env
        .eventually("another Machine", LIMIT, async || {
            let machines = world.machines(followed).await?;
            let new = machines.first().context("no Machine")?;
            ensure!(new.uid() != old, "the old one");
            Ok(())
        })
        .await?;
    world.ready(followed).await?;
    // The model of the other one still runs on its Node.
    let says = world
        .condition(held, "ResourceReady", "False", Some("NodeDeletionHeld"))
        .await?;
    ensure!(says.contains("at most 20 % of the nodes"), "{says}");
    let node = world.nodes(held).await?.pop().context("no Node")?;
    ensure!(node.metadata.deletion_timestamp.is_some(), "nobody deleted it");
    ensure!(world.pools(held).await?.len() == 1, "its pool is gone");
    // Deleting the claim, or its Workspace, gives it back now.
    world.delete(held).await?;
    world.delete(followed).await
}
