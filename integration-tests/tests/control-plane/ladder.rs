//! Several instance types: the cloud refuses one, and the next one is bought; never two nodes for one place.

use anyhow::{Context as _, Result, ensure};
use arm_server::config::OfferingRule;
use arm_server::control::Verb;
use kube::ResourceExt;
use serde_json::json;

use crate::faults::own;
use crate::probes::get;
use crate::world::{LIMIT, World};

const A100: &str = "Standard_NC24ads_A100_v4";
const H100: &str = "Standard_NC40ads_H100_v5";

#[tokio::test]
async fn a_refused_type_gives_way_to_the_next_one() -> Result<()> {
    let (env, stack) = own().await?;
    let world = World::on(env, &stack.programs).await?;
    let cloud = world.cloud()?;
    let usual = cloud.behavior().await?;
    let mut scarce = usual.clone();
    scarce.offerings.insert(
        0,
        OfferingRule {
            vm_size: A100.to_owned(),
            ..OfferingRule::default()
        },
    );
    cloud.set_behavior(&scarce).await?;

    let ladder = format!("{A100},{H100}");
    let on = |name: &str| {
        let mut workspace = world.inference(name);
        workspace["resource"]["instanceType"] = json!(ladder);
        workspace
    };
    let first = world.apply(&on("first")).await?;
    world.ready(&first).await?;
    let sizes = async |name: &str| -> Result<Vec<String>> {
        let names = world.pools(name).await?;
        let pools = cloud.pools().await?;
        let of = |pool: &&arm_server::control::PoolView| names.contains(&pool.name);
        Ok(pools.iter().filter(of).map(|pool| pool.vm_size.clone()).collect())
    };
    ensure!(sizes(&first).await? == [H100], "{:?}", sizes(&first).await?);
    let machines: Vec<String> = world
        .machines(&first)
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    ensure!(
        machines.len() == 1 && world.pools(&first).await? == machines,
        "{machines:?}"
    );

    let status = world
        .workspaces()
        .get(&first)
        .await?
        .status
        .context("no status")?;
    ensure!(status.instance_type.as_deref() == Some(H100), "{status:?}");
    let attempt = status.attempts.first().context("no attempt")?;
    ensure!(
        (attempt.instance_type.as_str(), attempt.reason.as_str()) == (A100, "AllocationFailure")
            && attempt.claim == machines[0]
            && !attempt.message.is_empty(),
        "{attempt:?}"
    );

    // The next Workspace does not ask for the type, and says so.
    cloud.clear_requests().await?;
    let second = world.apply(&on("second")).await?;
    world.ready(&second).await?;
    ensure!(sizes(&second).await? == [H100], "{:?}", sizes(&second).await?);
    let (pools, asked) = (world.pools(&second).await?, cloud.requests(0).await?);
    let creations = asked.iter().filter(|request| {
        let is_its = request.pool.as_ref().is_some_and(|pool| pools.contains(pool));
        is_its && request.verb == Some(Verb::Put)
    });
    ensure!(creations.count() == 1, "{asked:?}");
    let status = world
        .workspaces()
        .get(&second)
        .await?
        .status
        .context("no status")?;
    let left_out = status.attempts.first().context("no attempt")?;
    ensure!(
        left_out.claim.is_empty() && left_out.instance_type == A100,
        "{left_out:?}"
    );

    cloud.set_behavior(&usual).await?;
    let metrics = env
        .eventually("the metric of unavailable types", LIMIT, async || {
            let (_, text) = get(&stack.programs.metrics_url("controller")).await?;
            let line = text
                .lines()
                .find(|line| line.starts_with("kaito_unavailable_instance_types{"));
            line.map(str::to_owned).context("no such series")
        })
        .await?;
    ensure!(
        metrics.contains("AllocationFailure") && metrics.contains(&A100.to_lowercase()),
        "{metrics}"
    );
    world.delete(&first).await?;
    world.delete(&second).await
}
