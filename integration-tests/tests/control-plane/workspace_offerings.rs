//! Capacity types and zones that a Workspace names, with Machines here and with NodeClaims in `offerings`.

use anyhow::{Context as _, Result, ensure};
use arm_server::control::{Named, OfferingRule};
use kaito_api::Claim;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::faults::own;
use crate::world::{LIMIT, World};

#[tokio::test]
async fn a_workspace_chooses_capacity_types_and_zones() -> Result<()> {
    let (env, stack) = own().await?;
    follow_the_annotations(&World::on(env, &stack.programs).await?).await
}

/// A Workspace waits for spot capacity, gets on-demand capacity once it allows it, and keeps that.
pub(crate) async fn follow_the_annotations(world: &World) -> Result<()> {
    let cloud = world.cloud()?;
    let usual = cloud.behavior().await?;
    let mut scarce = usual.clone();
    scarce.offerings = vec![OfferingRule {
        zone: Some("1".to_owned()),
        spot: Some(true),
        most: 0,
        error: Named::ZonalCapacity,
        ..OfferingRule::default()
    }];
    cloud.set_behavior(&scarce).await?;

    let waits = world.apply(&asking(world, "waits", "spot", "1")).await?;
    let refused = world
        .condition(&waits, "ResourceReady", "False", Some("AllocationFailure"))
        .await?;
    ensure!(refused.contains("in this zone"), "{refused}");
    let first = claim(world, &waits).await?;
    annotate(world, &waits, "kaito.sh/capacity-types", "spot,on-demand").await?;
    world.ready(&waits).await?;
    let second = claim(world, &waits).await?;
    ensure!(
        first.uid() != second.uid() && first.name() == second.name(),
        "{first:?} {second:?}"
    );
    bought(world, &waits, "on-demand", "westeurope-1").await?;

    // What runs stays, whatever is written now.
    annotate(world, &waits, "kaito.sh/capacity-types", "spot").await?;
    annotate(world, &waits, "kaito.sh/zones", "2").await?;
    let spot = world.apply(&asking(world, "spot", "spot", "2")).await?;
    world.ready(&spot).await?;
    bought(world, &spot, "spot", "westeurope-2").await?;
    bought(world, &waits, "on-demand", "westeurope-1").await?;
    ensure!(
        claim(world, &waits).await?.uid() == second.uid(),
        "it was replaced"
    );
    for name in [&waits, &spot] {
        let pools = world.pools(name).await?;
        ensure!(pools == [claim(world, name).await?.name()], "{pools:?}");
    }

    cloud.set_behavior(&usual).await?;
    world.delete(&waits).await?;
    world.delete(&spot).await
}

fn asking(world: &World, name: &str, capacity_types: &str, zones: &str) -> Value {
    let mut workspace = world.inference(name);
    workspace["metadata"]["annotations"] = json!({
        "kaito.sh/capacity-types": capacity_types, "kaito.sh/zones": zones,
    });
    workspace
}

async fn annotate(world: &World, name: &str, key: &str, value: &str) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    let workspaces = world.workspaces();
    workspaces
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

/// The only claim of a Workspace.
async fn claim(world: &World, name: &str) -> Result<Claim> {
    let machines = world.machines(name).await?.into_iter().map(Claim::from);
    let node_claims = world.node_claims(name).await?.into_iter().map(Claim::from);
    let mut all: Vec<Claim> = machines.chain(node_claims).collect();
    ensure!(all.len() == 1, "{all:?}");
    all.pop().context("no claim")
}

/// Waits until status, claim and pool say what was bought.
async fn bought(world: &World, name: &str, capacity_type: &str, zone: &str) -> Result<()> {
    world
        .env
        .eventually(
            &format!("{name} to be {capacity_type} in {zone}"),
            LIMIT,
            async || {
                let workspace = world.workspaces().get(name).await?;
                let status = workspace.status.context("no status")?;
                let found = status.offerings.first().context("nothing was bought")?;
                ensure!(
                    status.offerings.len() == 1
                        && (found.capacity_type.as_str(), found.zone.as_str(), found.nodes)
                            == (capacity_type, zone, 1),
                    "{:?}",
                    status.offerings
                );
                Ok(())
            },
        )
        .await?;
    let claim = claim(world, name).await?;
    ensure!(
        (claim.capacity_type(), claim.zone()) == (Some(capacity_type), Some(zone)),
        "{claim:?}"
    );
    ensure!(claim.is_on_spot() == (capacity_type == "spot"), "{claim:?}");
    Ok(())
}
