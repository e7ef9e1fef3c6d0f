//! Instances, and the cluster, that are stopped and started in the cloud.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::{ClusterView, ControlClient, PoolEdit, Verb};
use local_cluster::{ClusterOptions, Tier};
use testkit::{Stack, StackOptions, TestEnv};

use crate::world::{LIMIT, World};

#[tokio::test]
async fn stopped_instances_are_neither_replaced_nor_deleted() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let stack = Stack::start(env, StackOptions::default()).await?;
    let world = World::on(env, &stack.programs).await?;
    let cloud = world.cloud()?;
    let name = world.apply(&world.inference("power")).await?;
    world.ready(&name).await?;
    let pools = world.pools(&name).await?;
    ensure!(pools.len() == 1, "{pools:?}");
    turn(&world, &cloud, &pools[0], true).await?;
    stopped(&world, &name).await?;
    turn(&world, &cloud, &pools[0], false).await?;
    world.ready(&name).await?;
    // The whole cluster, as seen by programs that are still up.
    let cluster = |stopped: bool| ClusterView {
        stopped,
        ..ClusterView::default()
    };
    cloud.set_cluster(&cluster(true)).await?;
    stopped(&world, &name).await?;
    tokio::time::sleep(Duration::from_secs(20)).await;
    cloud.set_cluster(&cluster(false)).await?;
    world.ready(&name).await?;
    bought_once(&world, &name, &cloud).await?;
    world.delete(&name).await
}

/// Stops or starts an agent pool, once no operation runs on it.
pub(crate) async fn turn(world: &World, cloud: &ControlClient, pool: &str, stopped: bool) -> Result<()> {
    let edit = PoolEdit {
        stopped: Some(stopped),
        ..PoolEdit::default()
    };
    let wanted = if stopped { "Stopped" } else { "Running" };
    world
        .env
        .eventually(&format!("pool {pool} to be {wanted}"), LIMIT, async || {
            cloud.edit_pool(pool, &edit).await?;
            let pools = cloud.pools().await?;
            let view = pools.iter().find(|view| view.name == pool).context("no pool")?;
            let power = &view.body["properties"]["powerState"]["code"];
            ensure!(power == wanted, "{} {power}", view.state);
            Ok(())
        })
        .await
}

/// The status says that the instance is stopped, and its Node goes.
pub(crate) async fn stopped(world: &World, name: &str) -> Result<()> {
    world
        .condition(name, "MachineReady", "False", Some("InstanceStopped"))
        .await?;
    world
        .env
        .eventually("the Node to go", LIMIT, async || {
            ensure!(world.nodes(name).await?.is_empty(), "a Node is there");
            Ok(())
        })
        .await?;
    ensure!(world.machines(name).await?.len() == 1, "the Machine is gone");
    Ok(())
}

async fn bought_once(world: &World, name: &str, cloud: &ControlClient) -> Result<()> {
    let counts = cloud.counters().await?.by_verb;
    let count = |verb: Verb| counts.get(&verb).copied().unwrap_or_default();
    let (puts, deletes) = (count(Verb::Put), count(Verb::Delete));
    ensure!((puts, deletes) == (1, 0), "{puts} puts, {deletes} deletions");
    ensure!(world.pools(name).await?.len() == 1, "another pool");
    Ok(())
}
