//! Claims that allow several offerings, against a cloud that has few of them: zones, spot and on-demand capacity.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::{Named, OfferingRule};
use k8s_openapi::api::core::v1::Node;
use kaito_api::NodeClaim;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Stack, StackOptions, TestEnv};

use crate::probes::get;
use crate::world::{LIMIT, World};

#[tokio::test]
async fn offerings_are_tried_in_order_and_the_node_shows_what_was_bought() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        node_provisioner: "nodeclaim",
        capacity_backoff_seconds: 20.0,
        provisioner_flags: &["--replace-drifted-nodes"],
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    // No spot machine is free: in zone 1 that shows late, in zone 2 at once. On demand, one is left in zone 1.
    scarce(&world, 0).await?;
    apply(&world, "offera", &["spot", "on-demand"], &["westeurope-1", "2"]).await?;
    let node = ready(&world, "offera").await?;
    bought(&node, "on-demand", "westeurope-1")?;
    let (_, metrics) = get(&stack.programs.metrics_url("provisioner")).await?;
    for zone in ["1", "2"] {
        let series = metrics.lines().any(|line| {
            line.starts_with("kaito_unavailable_offerings{")
                && line.contains("\"spot\"")
                && line.contains(&format!("zone=\"{zone}\""))
        });
        ensure!(series, "no refusal of spot in zone {zone}: {metrics}");
    }
    apply(&world, "offerb", &["on-demand"], &["1", "2"]).await?;
    bought(&ready(&world, "offerb").await?, "on-demand", "westeurope-2")?;
    spot_alone(&world).await?;
    // Never two pools for a claim.
    let mut pools: Vec<String> = world
        .cloud()?
        .pools()
        .await?
        .into_iter()
        .map(|pool| pool.name)
        .collect();
    pools.retain(|name| name.starts_with("offer"));
    ensure!(pools == ["offera", "offerb", "offerc"], "{pools:?}");
    evicted(&world).await?;
    unknown_zone(&world).await?;
    crate::workspace_offerings::follow_the_annotations(&world).await?;
    crate::node_classes::are_checked_and_read(&world).await
}

async fn scarce(world: &World, spot_machines: u64) -> Result<()> {
    let cloud = world.cloud()?;
    let mut behavior = cloud.behavior().await?;
    let rule = |zone: &str, spot, most, error, at_once| OfferingRule {
        zone: Some(zone.to_owned()),
        spot: Some(spot),
        most,
        error,
        at_once,
        ..OfferingRule::default()
    };
    behavior.offerings = vec![
        rule("1", true, spot_machines, Named::ZonalCapacity, false),
        rule("2", true, 0, Named::SkuNotAvailable, true),
        rule("1", false, 1, Named::ZonalCapacity, false),
    ];
    Ok(cloud.set_behavior(&behavior).await?)
}

/// A claim that no machine is free for says so, with each offering, and gets one once there is.
async fn spot_alone(world: &World) -> Result<()> {
    apply(world, "offerc", &["spot"], &["1", "2"]).await?;
    let says = launched(world, "offerc", "AllocationFailure").await?;
    for part in [
        "No offering of Standard_NC24ads_A100_v4",
        "spot in zone 1: ZonalAllocationFailed",
        "spot in zone 2: SkuNotAvailable",
        "not before",
    ] {
        ensure!(says.contains(part), "{part}: {says}");
    }
    scarce(world, 1).await?;
    let node = ready(world, "offerc").await?;
    bought(&node, "spot", "westeurope-1")?;
    let labels = node.metadata.labels.unwrap_or_default();
    let key = "kubernetes.azure.com/scalesetpriority";
    ensure!(labels.get(key).map(String::as_str) == Some("spot"), "{labels:?}");
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    ensure!(
        taints
            .iter()
            .any(|taint| taint.key == key && taint.effect == "NoSchedule"),
        "{taints:?}"
    );
    Ok(())
}

/// The machine of a spot pool is taken back: its Node gets the notice, then it is being deleted.
async fn evicted(world: &World) -> Result<()> {
    let name = node_name(world, "offerc").await?;
    let nodes: Api<Node> = Api::all(world.client.clone());
    world.cloud()?.evict_pool("offerc", 3_000).await?;
    world
        .env
        .eventually("the notice", LIMIT, async || {
            let node = nodes.get(&name).await?;
            let conditions = node
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default();
            let found = conditions
                .iter()
                .any(|condition| condition.type_ == "VMEventScheduled");
            ensure!(found, "{conditions:?}");
            Ok(())
        })
        .await?;
    world
        .env
        .eventually("the end of the Node", LIMIT, async || {
            let node = nodes.get_opt(&name).await?;
            ensure!(
                node.is_none_or(|node| node.metadata.deletion_timestamp.is_some()),
                "it is there"
            );
            Ok(())
        })
        .await?;
    let claims: Api<NodeClaim> = Api::all(world.client.clone());
    for name in ["offera", "offerb", "offerc"] {
        match claims.delete(name, &DeleteParams::default()).await {
            // A claim whose spot capacity is reclaimed ends by itself.
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            deleted => drop(deleted?),
        }
    }
    world
        .env
        .eventually("no pool to be left", LIMIT, async || {
            let pools = world.cloud()?.pools().await?;
            let left: Vec<&str> = pools
                .iter()
                .map(|pool| pool.name.as_str())
                .filter(|name| name.starts_with("offer"))
                .collect();
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
}

async fn unknown_zone(world: &World) -> Result<()> {
    apply(world, "offerd", &["on-demand"], &["westus-1"]).await?;
    let says = launched(world, "offerd", "InvalidNodeClaim").await?;
    ensure!(says.contains("leave no zone"), "{says}");
    Ok(())
}

async fn apply(world: &World, name: &str, types: &[&str], zones: &[&str]) -> Result<()> {
    let object: Value = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": name},
        "spec": {
            "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": types},
                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": zones},
            ],
        },
    });
    let claims: Api<NodeClaim> = Api::all(world.client.clone());
    claims
        .patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object))
        .await?;
    Ok(())
}

async fn node_name(world: &World, claim: &str) -> Result<String> {
    let claims: Api<NodeClaim> = Api::all(world.client.clone());
    let claim = claims.get(claim).await?;
    Ok(claim.status.context("no status")?.node_name)
}

/// Waits until a claim is registered; returns its Node.
pub(crate) async fn ready(world: &World, claim: &str) -> Result<Node> {
    let claims: Api<NodeClaim> = Api::all(world.client.clone());
    world
        .env
        .eventually(&format!("{claim} to be ready"), LIMIT, async || {
            let status = claims.get(claim).await?.status.unwrap_or_default();
            let conditions = &status.conditions;
            let done = conditions
                .iter()
                .any(|condition| condition.type_ == "Registered" && condition.status == "True");
            ensure!(done, "{conditions:?}");
            Ok(())
        })
        .await?;
    let nodes: Api<Node> = Api::all(world.client.clone());
    Ok(nodes.get(&node_name(world, claim).await?).await?)
}

/// Waits until a claim is not launched for this reason; returns the message.
pub(crate) async fn launched(world: &World, claim: &str, reason: &str) -> Result<String> {
    let claims: Api<NodeClaim> = Api::all(world.client.clone());
    world
        .env
        .eventually(&format!("{claim} Launched {reason}"), LIMIT, async || {
            let status = claims.get(claim).await?.status.unwrap_or_default();
            let found = status
                .conditions
                .iter()
                .find(|condition| condition.type_ == "Launched" && condition.reason == reason);
            found
                .map(|condition| condition.message.clone())
                .with_context(|| format!("{:?}", status.conditions))
        })
        .await
}

fn bought(node: &Node, capacity_type: &str, zone: &str) -> Result<()> {
    let labels: BTreeMap<String, String> = node.metadata.labels.clone().unwrap_or_default();
    let found = |key: &str| labels.get(key).cloned().unwrap_or_default();
    let actual = (
        found("karpenter.sh/capacity-type"),
        found("topology.kubernetes.io/zone"),
    );
    ensure!(
        actual == (capacity_type.to_owned(), zone.to_owned()),
        "{actual:?}"
    );
    Ok(())
}
