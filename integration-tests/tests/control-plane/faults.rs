//! A fault outside our programs is shown as a state, never causes a second pool, and passes with its cause.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::{Action, ControlClient, FaultRule, Named, Verb};
use kube::ResourceExt;
use local_cluster::{ClusterOptions, Tier};
use testkit::TestEnv;
use testkit::{Stack, StackOptions};

use crate::world::{LIMIT, World};

/// A system of the test's own: its faults must not reach other tests.
pub(crate) async fn own() -> Result<(&'static TestEnv, Stack)> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let stack = Stack::start(env, StackOptions::default()).await?;
    Ok((env, stack))
}

#[tokio::test]
async fn refusals_of_the_cloud_are_shown_and_pass() -> Result<()> {
    let (env, stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let cloud = world.cloud()?;
    let cases = [
        (
            "quota",
            FaultRule::once(Verb::Put, Action::respond(Named::QuotaSync)).times(3),
            Some("SubscriptionQuotaReached"),
        ),
        (
            "quota-late",
            FaultRule::once(
                Verb::Put,
                Action::FailOperation {
                    error: Named::QuotaAsync,
                },
            ),
            Some("SubscriptionQuotaReached"),
        ),
        (
            "capacity",
            FaultRule::once(
                Verb::Put,
                Action::FailOperation {
                    error: Named::Capacity,
                },
            )
            .times(2),
            Some("AllocationFailure"),
        ),
        (
            "throttled",
            FaultRule::once(Verb::Put, throttled(1)).times(3),
            Some("Throttled"),
        ),
        (
            "busy",
            FaultRule::once(Verb::Put, Action::respond(Named::BusyCluster)).times(4),
            None,
        ),
        (
            "forbidden",
            FaultRule::once(Verb::Put, Action::respond(Named::Forbidden)).times(3),
            Some("AuthorizationFailed"),
        ),
        (
            "unavailable",
            FaultRule::once(Verb::Put, Action::respond(Named::GatewayTimeoutHtml)).times(2),
            None,
        ),
        (
            "answer-lost",
            FaultRule::once(Verb::Put, Action::DropConnection { apply: true }),
            None,
        ),
        (
            "no-lists",
            FaultRule::once(Verb::List, Action::respond(Named::Unavailable)).times(3),
            None,
        ),
    ];
    for (name, rule, reason) in cases {
        one_refusal(&world, &cloud, name, &rule, reason)
            .await
            .with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn throttled(seconds: u64) -> Action {
    Action::Respond {
        error: Named::Throttled,
        retry_after: Some(seconds),
        apply: false,
    }
}

async fn one_refusal(
    world: &World,
    cloud: &ControlClient,
    name: &str,
    rule: &FaultRule,
    reason: Option<&str>,
) -> Result<()> {
    cloud.clear_faults().await?;
    cloud.add_fault(rule).await?;
    let name = world.apply(&world.inference(name)).await?;
    if let Some(reason) = reason {
        let message = world
            .condition(&name, "ResourceReady", "False", Some(reason))
            .await?;
        ensure!(message.len() > 40, "says too little: {message:?}");
    }
    world.ready(&name).await?;
    let machines: Vec<String> = world
        .machines(&name)
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let pools = world.pools(&name).await?;
    ensure!(
        machines.len() == 1 && pools == machines,
        "Machines {machines:?}, pools {pools:?}"
    );
    world.delete(&name).await
}

#[tokio::test]
async fn a_foreign_pool_of_our_name_is_left_alone() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    stack.provisioner.kill9()?;
    let name = world.apply(&world.inference("conflict")).await?;
    let machine = world
        .env
        .eventually("a claim", LIMIT, async || {
            world
                .machines(&name)
                .await?
                .first()
                .map(ResourceExt::name_any)
                .context("no claim")
        })
        .await?;
    let cloud = world.cloud()?;
    cloud
        .edit_pool(&machine, &arm_server::control::PoolEdit::default())
        .await?;
    world.forget_leader("gpu-provisioner").await?;
    stack.provisioner = stack.programs.start_provisioner(env)?;
    world
        .condition(&name, "ResourceReady", "False", Some("InstanceNameConflict"))
        .await?;
    world.delete_but_keep_pools(&name).await?;
    let pools = cloud.pools().await?;
    ensure!(
        pools.iter().any(|pool| pool.name == machine),
        "another owner's pool was deleted"
    );
    let counters = cloud.counters().await?;
    ensure!(
        !counters.puts.contains_key(&machine) && !counters.deletes.contains_key(&machine),
        "{counters:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_registry_that_is_down_stops_nothing_that_runs() -> Result<()> {
    let (env, mut stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let running = world.apply(&world.inference("running")).await?;
    world.ready(&running).await?;
    stack.registry.kill9()?;
    // A controller that starts without the registry has no last good answer.
    stack.controller.kill9()?;
    world.forget_leader("workspace-controller").await?;
    stack.controller = stack.programs.start_controller(env)?;
    let new = world.apply(&world.inference("new")).await?;
    let message = world
        .condition(&new, "ResourceReady", "False", Some("PresetRegistryUnavailable"))
        .await?;
    ensure!(message.contains("preset registry at https://"), "{message}");
    ensure!(world.machines(&new).await?.is_empty(), "nothing may be paid for");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.ready(&running).await?;
    stack.registry = stack.programs.start_registry(env)?;
    world.ready(&new).await?;
    world.delete(&new).await?;
    world.delete(&running).await
}

#[tokio::test]
async fn a_pool_that_vanishes_is_replaced_or_reported() -> Result<()> {
    let (env, stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let name = world.apply(&world.inference("vanish")).await?;
    world.ready(&name).await?;
    let pools = world.pools(&name).await?;
    world
        .cloud()?
        .remove_pool(pools.first().context("no pool")?)
        .await?;
    world
        .env
        .eventually("the pool to be made again", LIMIT, async || {
            ensure!(
                world.cloud()?.counters().await?.puts.values().sum::<u64>() >= 2,
                "no second PUT"
            );
            Ok(())
        })
        .await?;
    world.ready(&name).await?;
    world.delete(&name).await
}
