//! `kubectl kaito doctor` on a real API server: it finds what was planted, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use arm_server::control::PoolEdit;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kaito_api::Machine;
use kaito_api::fleet::{FLEET_KEY, FleetOwner, FleetRecord};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{NAMESPACE, Stack, StackOptions, TestEnv};

use crate::plugin::say;
use crate::world::{LIMIT, World};

#[tokio::test]
async fn the_doctor_finds_what_was_planted() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let stack = Stack::start(env, StackOptions::default()).await?;
    let world = World::on(env, &stack.programs).await?;
    let name = world.apply(&world.inference("healthy")).await?;
    world.ready(&name).await?;
    a_healthy_cluster_is_well(&world).await?;
    the_record_is_written_once(&world).await?;

    let pool = |tags: &[(&str, &str)]| PoolEdit {
        vm_size: Some("Standard_NC24ads_A100_v4".to_owned()),
        tags: Some(
            tags.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        ),
        ..PoolEdit::default()
    };
    world.cloud()?.edit_pool("theirs", &pool(&[])).await?;
    plant_claim(&world).await?;
    plant_node(&world).await?;
    let report = testkit::eventually("the findings", LIMIT, async || {
        let said = say(&world, &["doctor", "-o", "json"]).await?;
        ensure!(said.code == 1, "{}{}", said.out, said.err);
        let report = said.json()?;
        let kinds = kinds(&report);
        for expected in [
            ("orphanedClaim", "Machine wsorphan0000"),
            ("orphanedNode", "Node lost"),
        ] {
            ensure!(kinds.contains(&expected), "{kinds:?}");
        }
        ensure!(usage(&report, "foreign")["count"] == 1, "{report}");
        Ok(report)
    })
    .await?;
    ensure!(
        usage(&report, "in use")["usdMicrosPerHour"] == 3_673_000,
        "{report}"
    );
    let foreign = record(&world).await?;
    let foreign = foreign
        .instances
        .iter()
        .find(|instance| instance.name == "theirs");
    ensure!(
        foreign.is_some_and(|pool| pool.owner == FleetOwner::Foreign),
        "{foreign:?}"
    );

    uninstalling_waits(&world, &name).await
}

/// The text of the report goes to the log of the test, for the docs.
async fn a_healthy_cluster_is_well(world: &World) -> Result<()> {
    testkit::eventually("a clean bill of health", LIMIT, async || {
        let said = say(world, &["doctor"]).await?;
        ensure!(
            said.code == 0 && said.out.contains("Nothing is wrong."),
            "{}{}",
            said.out,
            said.err
        );
        for part in [
            "leader: workspace-controller",
            "leader: gpu-provisioner",
            "that of this plugin",
            "policies are bound",
            "cloud: 1 instances",
        ] {
            ensure!(said.out.contains(part), "{part} is missing: {}", said.out);
        }
        Ok(())
    })
    .await
}

async fn record(world: &World) -> Result<FleetRecord> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let data = api.get("kaito-fleet").await?.data.context("no record")?;
    Ok(serde_json::from_str(data.get(FLEET_KEY).context("no key")?)?)
}

/// Several listings later the object is still that of the first.
async fn the_record_is_written_once(world: &World) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let before = api.get("kaito-fleet").await?.metadata.resource_version;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = api.get("kaito-fleet").await?.metadata.resource_version;
    ensure!(before == after, "{before:?} {after:?}");
    let record = record(world).await?;
    let owners: Vec<FleetOwner> = record.instances.iter().map(|instance| instance.owner).collect();
    ensure!(owners == [FleetOwner::Claimed], "{record:?}");
    Ok(())
}

async fn plant_claim(world: &World) -> Result<()> {
    let claims: Api<Machine> = Api::all(world.client.clone());
    let orphan: Machine = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
        "metadata": {"name": "wsorphan0000", "labels": {
            "kaito.sh/workspace": "gone", "kaito.sh/workspacenamespace": world.namespace,
            "karpenter.sh/provisioner-name": "default",
        }},
        "spec": {
            "machineTemplateRef": {"name": "none"},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
            ],
            "resources": {"requests": {"storage": "100Gi"}},
        },
    }))?;
    claims.create(&PostParams::default(), &orphan).await?;
    Ok(())
}

async fn plant_node(world: &World) -> Result<()> {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let lost: Node = serde_json::from_value(json!({
        "metadata": {
            "name": "lost", "finalizers": ["karpenter.sh/termination", "example.com/keeps-it"],
            // It names no instance, so nothing is known about it and it is left alone.
            "labels": {"kaito.sh/workspace": "gone", "kaito.sh/workspacenamespace": world.namespace},
        },
    }))?;
    nodes.create(&PostParams::default(), &lost).await?;
    Ok(())
}

async fn uninstalling_waits(world: &World, name: &str) -> Result<()> {
    let said = say(world, &["doctor", "--before-uninstall", "-o", "json"]).await?;
    ensure!(said.code == 1, "{}{}", said.out, said.err);
    let report = said.json()?;
    let kinds: BTreeMap<&str, &str> = kinds(&report).into_iter().collect();
    for kind in ["workspace", "claim", "node"] {
        ensure!(kinds.contains_key(kind), "{kind}: {kinds:?}");
    }
    let claims: Api<Machine> = Api::all(world.client.clone());
    claims.delete("wsorphan0000", &DeleteParams::default()).await?;
    let nodes: Api<Node> = Api::all(world.client.clone());
    let free = json!({"metadata": {"finalizers": null}});
    nodes
        .patch(
            "lost",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(&free),
        )
        .await?;
    nodes.delete("lost", &DeleteParams::default()).await?;
    world.delete(name).await?;
    testkit::eventually("leave to uninstall", LIMIT, async || {
        let said = say(world, &["doctor", "--before-uninstall"]).await?;
        ensure!(said.code == 0, "{}{}", said.out, said.err);
        ensure!(
            said.out.contains("the operator can be uninstalled"),
            "{}",
            said.out
        );
        Ok(())
    })
    .await
}

fn kinds(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings
        .filter_map(|found| Some((found["kind"].as_str()?, found["subject"].as_str()?)))
        .collect()
}

fn usage<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut all = report["nodes"].as_array().into_iter().flatten();
    all.find(|used| used["usage"] == name).unwrap_or(&Value::Null)
}
