//! A scenario in which the programs use every verb that they have. Its parts run beside each other.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use arm_server::control::{Action, Behavior, FaultRule, Named, Verb};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kaito_api::{Machine, Workspace};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testkit::Stack;

use crate::power;
use crate::tenants::apply;
use crate::world::{LIMIT, World};

/// Plays everything.
pub(super) async fn play(world: &World, stack: &mut Stack) -> Result<()> {
    // Both nets under termination act after two minutes; the rest happens meanwhile.
    strip(world, stack, "orphan").await?;
    let leaked = leak(world, "leaky").await?;
    tokio::try_join!(
        stale_objects(world),
        stale_deployment(world),
        tuning(world),
        a_deleted_node(world),
        a_guarded_pod(world),
        a_stopped_instance(world),
        many_revisions(world),
    )?;
    a_node_that_the_cloud_leaves(world).await?;
    world.gone("orphan").await?;
    world
        .env
        .eventually("the leaked pool to be collected", LIMIT, async || {
            let pools = world.cloud()?.pools().await?;
            ensure!(pools.iter().all(|pool| pool.name != leaked), "{leaked} is there");
            Ok(())
        })
        .await
}

/// Deletes a Workspace without its finalizer while no controller runs. Its claim is deleted after a live read of it.
async fn strip(world: &World, stack: &mut Stack, name: &str) -> Result<()> {
    world.apply(&world.inference(name)).await?;
    world.ready(name).await?;
    stack.controller.kill9()?;
    let none = json!({"metadata": {"finalizers": null}});
    let workspaces = world.workspaces();
    workspaces
        .patch(name, &PatchParams::default(), &Patch::Merge(&none))
        .await?;
    workspaces.delete(name, &DeleteParams::default()).await?;
    world.forget_leader("workspace-controller").await?;
    stack.controller = stack.programs.start_controller(world.env)?;
    Ok(())
}

/// Strips a claim of its finalizer while the cloud refuses to delete the instance, so that only the instance remains. It is
/// deleted after a live read of the claim.
async fn leak(world: &World, name: &str) -> Result<String> {
    world.apply(&world.inference(name)).await?;
    world.ready(name).await?;
    let cloud = world.cloud()?;
    let refusal = FaultRule::once(Verb::Delete, Action::respond(Named::Unavailable)).times(1000);
    cloud.add_fault(&refusal).await?;
    let machines: Api<Machine> = Api::all(world.client.clone());
    let machine = world.machines(name).await?.pop().context("no Machine")?;
    let claim = machine.name_any();
    world.workspaces().delete(name, &DeleteParams::default()).await?;
    world
        .env
        .eventually("the Machine to terminate", LIMIT, async || {
            let machine = machines.get(&claim).await?;
            ensure!(machine.metadata.deletion_timestamp.is_some(), "it lives");
            Ok(())
        })
        .await?;
    let free = json!({"metadata": {"finalizers": null}});
    machines
        .patch(&claim, &PatchParams::default(), &Patch::Merge(&free))
        .await?;
    world
        .env
        .eventually("the Workspace to go", LIMIT, async || {
            ensure!(world.workspaces().get_opt(name).await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
    cloud.clear_faults().await?;
    Ok(claim)
}

/// Returns the metadata of an object that a Workspace owns.
fn owned(workspace: &Workspace, kind: &str, version: &str, name: &str) -> Value {
    json!({
        "apiVersion": version, "kind": kind,
        "metadata": {
            "name": name, "namespace": workspace.namespace(), "labels": {"kaito.sh/workspace": workspace.name_any()},
            "ownerReferences": [{
                "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "name": workspace.name_any(),
                "uid": workspace.uid(), "controller": true,
            }],
        },
    })
}

fn pod() -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

/// Waits until a stale object of a Workspace is gone.
async fn deleted(world: &World, object: &Value) -> Result<()> {
    let api = crate::tenants::api_of(&world.client, object)?;
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let what = format!("{} {name} to go", object["kind"]);
    world
        .env
        .eventually(&what, LIMIT, async || match api.get_opt(name).await? {
            None => Ok(()),
            Some(found) if found.metadata.deletion_timestamp.is_some() => Ok(()),
            Some(_) => bail!("it is there"),
        })
        .await
}

async fn make(world: &World, object: &Value) -> Result<()> {
    apply(&world.client, object, false)
        .await?
        .map_err(anyhow::Error::msg)
        .with_context(|| object.to_string())
}

/// Other versions of a spec leave objects of other kinds, which are deleted.
async fn stale_objects(world: &World) -> Result<()> {
    let one = world.apply(&world.inference("one")).await?;
    let workspace = world.workspaces().get(&one).await?;
    let mut set = owned(&workspace, "StatefulSet", "apps/v1", &one);
    set["spec"] = json!({
        "replicas": 0, "serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": pod(),
    });
    let mut job = owned(&workspace, "Job", "batch/v1", &one);
    job["spec"] = json!({"suspend": true, "template": pod()});
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    let mut service = owned(&workspace, "Service", "v1", &format!("{one}-headless"));
    service["spec"] = json!({"ports": [{"port": 80}]});
    let config = owned(&workspace, "ConfigMap", "v1", &format!("{one}-tuning-config"));
    let mut policy = owned(&workspace, "NetworkPolicy", "networking.k8s.io/v1", &one);
    policy["spec"] = json!({"podSelector": {}});
    let stale = [set, job, service, config, policy];
    for object in &stale {
        make(world, object).await?;
    }
    world.ready(&one).await?;
    for object in &stale[..3] {
        deleted(world, object).await?;
    }
    world.delete(&one).await
}

/// A model that grew beyond one node leaves a Deployment.
async fn stale_deployment(world: &World) -> Result<()> {
    let mut large = world.inference("two");
    large["inference"]["preset"] =
        json!({"name": "llama-3.3-70b-instruct", "presetOptions": {"modelAccessSecret": "hub"}});
    let two = world.apply(&large).await?;
    let workspace = world.workspaces().get(&two).await?;
    let mut deployment = owned(&workspace, "Deployment", "apps/v1", &two);
    deployment["spec"] = json!({
        "replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": pod(),
    });
    make(world, &deployment).await?;
    world.ready(&two).await?;
    deleted(world, &deployment).await?;
    world.delete(&two).await
}

async fn tuning(world: &World) -> Result<()> {
    let name = world
        .apply_example("upstream/kaito_workspace_tuning_phi_3.yaml")
        .await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

/// A Node that a user deletes takes its claim along, and the Workspace gets another.
async fn a_deleted_node(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("node-gone")).await?;
    world.ready(&name).await?;
    let claim = world.machines(&name).await?.pop().context("no Machine")?.uid();
    let node = world.nodes(&name).await?.pop().context("no Node")?.name_any();
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes.delete(&node, &DeleteParams::default()).await?;
    world
        .env
        .eventually("another Machine", LIMIT, async || {
            let machines = world.machines(&name).await?;
            let old = machines.iter().any(|machine| machine.uid() == claim);
            ensure!(!old, "the old one");
            Ok(())
        })
        .await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

/// Of many renderings that were applied, the oldest are deleted.
async fn many_revisions(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("revised")).await?;
    world.ready(&name).await?;
    let revisions: Api<ControllerRevision> = Api::namespaced(world.client.clone(), &world.namespace);
    let labeled = ListParams::default().labels(&format!("kaito.sh/workspace={name}"));
    for number in 2..=7 {
        let mut edited = world.inference(&name);
        let image = format!("example.com/adapter:{number}");
        edited["inference"]["adapters"] = json!([{"source": {"name": "style", "image": image}}]);
        world.apply(&edited).await?;
        world
            .env
            .eventually(&format!("revision {number}"), LIMIT, async || {
                let kept = revisions.list(&labeled).await?.items;
                let newest = kept.iter().filter_map(|kept| kept.revision).max();
                ensure!(newest >= Some(number), "{newest:?}");
                ensure!(kept.len() <= 5 + 1, "{} revisions", kept.len());
                Ok(())
            })
            .await?;
    }
    world.delete(&name).await
}

/// A Node that the cloud does not remove is removed with its claim.
async fn a_node_that_the_cloud_leaves(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("left")).await?;
    world.ready(&name).await?;
    let cloud = world.cloud()?;
    let behavior = Behavior {
        leave_nodes: true,
        ..cloud.behavior().await?
    };
    cloud.set_behavior(&behavior).await?;
    world.delete(&name).await
}

/// A claim that becomes ready for the second time repeats its event.
async fn a_stopped_instance(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("stopped")).await?;
    world.ready(&name).await?;
    let pool = world.pools(&name).await?.pop().context("no pool")?;
    let cloud = world.cloud()?;
    power::turn(world, &cloud, &pool, true).await?;
    power::stopped(world, &name).await?;
    power::turn(world, &cloud, &pool, false).await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

/// A pod that a budget protects is evicted in vain, and deleted when the time of the drain is over.
async fn a_guarded_pod(world: &World) -> Result<()> {
    let name = world.apply(&world.inference("guarded")).await?;
    world.ready(&name).await?;
    let node = world.nodes(&name).await?.pop().context("no Node")?.name_any();
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bystander", "labels": {"app": "bystander"}},
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "i"}],
        },
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(world.client.clone(), &world.namespace);
    let budget = serde_json::from_value(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "bystander"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "bystander"}}},
    }))?;
    budgets.create(&PostParams::default(), &budget).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.delete(&name).await
}
