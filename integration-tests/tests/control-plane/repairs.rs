//! Unhealthy Nodes are replaced; not if many are unhealthy at once, not beyond the brake, and not against an annotation.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kaito_api::Machine;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Stack, StackOptions, TestEnv};

use crate::world::{LIMIT, World};

#[tokio::test]
async fn unhealthy_nodes_are_replaced_with_a_brake() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        node_deletion_percent: 50,
        repair_rules: "Ready=Unknown:4s,gpus-lost:4s,GPUMissing=True:4s",
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    for name in ["one", "two"] {
        world.apply(&world.inference(name)).await?;
    }
    for name in ["one", "two"] {
        world.ready(name).await?;
    }
    let before = [machine(&world, "one").await?, machine(&world, "two").await?];
    many_at_once(&world, &before).await?;
    one_is_replaced(&world, &stack, &before).await?;
    kept(&world, &before[1]).await?;
    reclaimed(&world).await?;
    for name in ["one", "two"] {
        world.delete(name).await?;
    }
    Ok(())
}

async fn machine(world: &World, name: &str) -> Result<Machine> {
    world.machines(name).await?.pop().context("no Machine")
}

/// Sets a problem that a node-problem-detector reports.
async fn set_condition(world: &World, name: &str, status: &str) -> Result<()> {
    patch_status(
        world,
        name,
        &json!({"conditions": [{"type": "GPUMissing", "status": status, "reason": "Test", "message": "a test"}]}),
    )
    .await
}

async fn patch_status(world: &World, name: &str, status: &Value) -> Result<()> {
    let node = world.nodes(name).await?.pop().context("no Node")?;
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes
        .patch_status(
            &node.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(json!({"status": status})),
        )
        .await?;
    Ok(())
}

/// Both Nodes have the same problem, so it is not theirs.
async fn many_at_once(world: &World, before: &[Machine; 2]) -> Result<()> {
    for name in ["one", "two"] {
        set_condition(world, name, "True").await?;
    }
    for name in ["one", "two"] {
        let says = world
            .condition(name, "ResourceReady", "False", Some("NodeRepairHeld"))
            .await?;
        ensure!(
            says.contains("more than 50 % of the nodes are unhealthy at once"),
            "{says}"
        );
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    for (name, before) in ["one", "two"].into_iter().zip(before) {
        let machine = machine(world, name).await?;
        ensure!(
            machine.uid() == before.uid() && machine.metadata.deletion_timestamp.is_none(),
            "{machine:?}"
        );
    }
    Ok(())
}

/// The other one recovers, so this one is replaced: by its GPUs, which are gone too.
async fn one_is_replaced(world: &World, stack: &Stack, before: &[Machine; 2]) -> Result<()> {
    set_condition(world, "one", "False").await?;
    set_condition(world, "two", "False").await?;
    for name in ["one", "two"] {
        world.ready(name).await?;
    }
    patch_status(world, "one", &json!({"allocatable": {"nvidia.com/gpu": "0"}})).await?;
    world
        .condition("one", "ResourceReady", "False", Some("GPUsLost"))
        .await?;
    let old = before[0].uid();
    world
        .env
        .eventually("another Machine", LIMIT, async || {
            let machines = world.machines("one").await?;
            let new = machines.first().context("no Machine")?;
            ensure!(new.uid() != old, "the old one");
            Ok(())
        })
        .await?;
    world.ready("one").await?;
    ensure!(world.pools("one").await?.len() == 1, "it has two pools");
    ensure!(
        machine(world, "two").await?.uid() == before[1].uid(),
        "the other was replaced too"
    );
    let (_, exported) = crate::probes::get(&stack.programs.metrics_url("provisioner")).await?;
    let counted = "kaito_nodes_replaced_total{cause=\"gpus_lost\"} 1";
    ensure!(exported.contains(counted), "{exported}");
    Ok(())
}

/// Another Node becomes unhealthy. The share of these ten minutes is used up, an annotation forbids it anyway, and a person
/// decides.
async fn kept(world: &World, before: &Machine) -> Result<()> {
    set_condition(world, "two", "True").await?;
    let says = world
        .condition("two", "ResourceReady", "False", Some("NodeRepairHeld"))
        .await?;
    ensure!(
        says.contains("its condition GPUMissing is True") && says.contains("at most 50 % of the nodes"),
        "{says}"
    );
    let machines: Api<Machine> = Api::all(world.client.clone());
    let keep = json!({"metadata": {"annotations": {"kaito.sh/do-not-repair": "true"}}});
    machines
        .patch(&before.name_any(), &PatchParams::default(), &Patch::Merge(&keep))
        .await?;
    world
        .condition("two", "ResourceReady", "False", Some("NodeRepairForbidden"))
        .await?;
    ensure!(
        machine(world, "two").await?.uid() == before.uid(),
        "it was replaced"
    );
    machines
        .delete(&before.name_any(), &DeleteParams::default())
        .await?;
    world
        .env
        .eventually("another Machine", LIMIT, async || {
            ensure!(machine(world, "two").await?.uid() != before.uid(), "the old one");
            Ok(())
        })
        .await?;
    world.ready("two").await
}

/// The cloud announces that it takes a spot node back: the brake, which is used up, does not hold that.
async fn reclaimed(world: &World) -> Result<()> {
    let before = machine(world, "one").await?;
    let node = world.nodes("one").await?.pop().context("no Node")?;
    let nodes: Api<Node> = Api::all(world.client.clone());
    let spot = json!({"metadata": {"labels": {"kubernetes.azure.com/scalesetpriority": "spot"}}});
    nodes
        .patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(&spot))
        .await?;
    let notice = json!({"conditions": [{
        "type": "VMEventScheduled", "status": "True", "reason": "VMEventScheduled",
        "message": "Preempt Scheduled: Mon, 02 Mar 2026 19:01:45 GMT",
    }]});
    patch_status(world, "one", &notice).await?;
    world
        .env
        .eventually("another Machine", LIMIT, async || {
            ensure!(machine(world, "one").await?.uid() != before.uid(), "the old one");
            Ok(())
        })
        .await?;
    world.ready("one").await?;
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::all(world.client.clone());
    let of_reason = kube::api::ListParams::default().fields("reason=SpotNodeReclaimed");
    ensure!(
        !events.list(&of_reason).await?.items.is_empty(),
        "no Event says so"
    );
    Ok(())
}
