//! A real Karpenter serves the NodeClaims of Workspaces, beside NodePools for the pods of others.
//!
//! Its provider is KWOK's: it makes Nodes, which the node simulator plays. Everything else is Karpenter's own code.

mod process;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kaito_api::{NodeClaim, Workspace};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::json;
use testkit::{Stack, StackOptions, TestEnv, WriteFilter};

use self::process::Karpenter;
use crate::world::{LIMIT, World};

/// The node class of the claims.
const CLASS: [&str; 3] = ["karpenter.kwok.sh", "KWOKNodeClass", "gpu"];
/// An instance type that the catalog has and this Karpenter has not.
const UNKNOWN_TYPE: &str = "Standard_NC80adis_H100_v5";
const KNOWN_TYPE: &str = "Standard_NC24ads_A100_v4";

#[tokio::test]
async fn a_real_karpenter() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    // It was there before KAITO, with definitions of its own.
    let karpenter = Karpenter::start(env, |instance_type| instance_type != UNKNOWN_TYPE).await?;
    let options = StackOptions {
        node_provisioner: "nodeclaim",
        node_class: CLASS,
        ..StackOptions::default()
    };
    let before = definition(env).await?;
    let mut stack = Stack::start(env, options).await?;
    ensure!(
        definition(env).await? == before,
        "the chart changed Karpenter's definition"
    );
    let world = World::on(env, &stack.programs).await?;
    let name = taken_back_until_its_class_exists(&world).await?;
    a_whole_life(&world, &name).await?;
    a_claim_that_does_not_join(&world).await?;
    pods_get_nodes_while_a_claim_cannot_launch(&world).await?;
    disruption_spares_our_nodes(&world).await?;
    let log = karpenter.log()?;
    ensure!(
        !log.contains("NodePool \\\"kaito\\\" not found"),
        "it looks for our NodePool"
    );
    ensure!(!log.contains("panic"), "it panicked");
    stack.ensure_running()
}

/// Labels, annotations and spec of the definition of NodeClaims.
async fn definition(env: &TestEnv) -> Result<serde_json::Value> {
    let all: Api<CustomResourceDefinition> = Api::all(env.client().await?);
    let found = all.get("nodeclaims.karpenter.sh").await?;
    let metadata = &found.metadata;
    Ok(json!([metadata.labels, metadata.annotations, found.spec]))
}

fn dynamic(world: &World, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::all_with(world.client.clone(), &kind)
}

/// Creates or changes the node class.
async fn class(world: &World, registration_delay: &str) -> Result<()> {
    let [group, kind, name] = CLASS;
    let object = json!({
        "apiVersion": format!("{group}/v1alpha1"), "kind": kind, "metadata": {"name": name},
        "spec": {"nodeRegistrationDelay": registration_delay},
    });
    let parameters = PatchParams::apply("test").force();
    dynamic(world, group, "v1alpha1", kind)
        .patch(name, &parameters, &Patch::Apply(&object))
        .await?;
    Ok(())
}

fn claims(world: &World) -> Api<NodeClaim> {
    Api::all(world.client.clone())
}

/// The claims that the controller has asked for since a mark, by name.
fn requests(world: &World, since: testkit::Mark, name: &str) -> Result<usize> {
    let created = WriteFilter::default()
        .user_agent("workspace-controller")
        .resource("nodeclaims")
        .verb("patch");
    let entries = world.env.audit().entries_since(since)?;
    // An apply that creates is answered with 201.
    let created = entries
        .iter()
        .filter(|entry| created.admits(entry) && entry.name == name && entry.code == 201);
    Ok(created.count())
}

/// Without its node class, Karpenter deletes a claim and says why in an Event only.
async fn taken_back_until_its_class_exists(world: &World) -> Result<String> {
    let mark = world.env.audit().mark()?;
    let name = world.apply(&world.inference("first")).await?;
    let says = world
        .env
        .eventually("the reason of the Event", LIMIT, async || {
            let lost = Some("NodeClaimLost");
            let says = world.condition(&name, "NodeClaimReady", "False", lost).await?;
            ensure!(says.contains("InsufficientCapacityError"), "{says}");
            Ok(says)
        })
        .await?;
    ensure!(says.contains("resolving node class"), "{says}");
    ensure!(!says.contains("activity log"), "{says}");
    // It does not spin: the pauses grow.
    let claim = claim_of_failed(&says)?;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let asked = requests(world, mark, &claim)?;
    ensure!((1..=4).contains(&asked), "asked {asked} times");
    class(world, "0s").await?;
    world.ready(&name).await?;
    Ok(name)
}

/// The name of the claim in a message: `…; NodeClaim ws0123456789 …`.
fn claim_of_failed(says: &str) -> Result<String> {
    let mut words = says
        .split([' ', ':'])
        .skip_while(|word| *word != "NodeClaim")
        .skip(1);
    words.next().map(str::to_owned).with_context(|| says.to_owned())
}

/// A model that is ready: claim, Node and pods are as they must be. Then everything is given back.
async fn a_whole_life(world: &World, name: &str) -> Result<()> {
    let all = world.node_claims(name).await?;
    let [claim] = all.as_slice() else {
        bail!("{} NodeClaims", all.len())
    };
    ensure!(
        !claim.labels().contains_key("karpenter.sh/nodepool"),
        "{:?}",
        claim.labels()
    );
    ensure!(
        claim.spec.termination_grace_period.as_deref() == Some("600s"),
        "{:?}",
        claim.spec
    );
    let requests = &claim.spec.resources.as_ref().context("no resources")?.requests;
    ensure!(
        requests.get("nvidia.com/gpu").is_some_and(|gpus| gpus.0 == "1"),
        "{requests:?}"
    );
    ensure!(requests.contains_key("ephemeral-storage"), "{requests:?}");
    let nodes = world.nodes(name).await?;
    let [node] = nodes.as_slice() else {
        bail!("{} nodes", nodes.len())
    };
    for (key, value) in [
        // Spot is cheaper.
        ("karpenter.sh/capacity-type", "on-demand"),
        ("karpenter.sh/registered", "true"),
        ("karpenter.sh/initialized", "true"),
        ("node.kubernetes.io/instance-type", KNOWN_TYPE),
    ] {
        ensure!(
            node.labels().get(key).is_some_and(|found| found == value),
            "{key}: {:?}",
            node.labels()
        );
    }
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let taints: Vec<&str> = taints.iter().map(|taint| taint.key.as_str()).collect();
    ensure!(taints == ["sku", "kaito.sh/workspace-uid"], "{taints:?}");
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pods = pods
        .list(&ListParams::default().labels(&format!("kaito.sh/workspace={name}")))
        .await?;
    let on = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    ensure!(
        !pods.items.is_empty() && pods.iter().all(|pod| on(pod) == Some(node.name_any())),
        "pods"
    );
    world.quiet("").await?;
    world.delete(name).await?;
    no_kwok_node_is_left(world).await
}

async fn no_kwok_node_is_left(world: &World) -> Result<()> {
    let nodes: Api<Node> = Api::all(world.client.clone());
    world
        .env
        .eventually("no Node of the Karpenter to be left", LIMIT, async || {
            let all = nodes.list(&ListParams::default()).await?;
            let left: Vec<String> = all.iter().map(|node| node.name_any()).collect();
            let left: Vec<&String> = left.iter().filter(|name| name.starts_with("kwok-")).collect();
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await
}

/// An instance that never joins: Karpenter deletes its claim after a quarter of an hour, and here the test does.
async fn a_claim_that_does_not_join(world: &World) -> Result<()> {
    class(world, "1h").await?;
    let name = world.apply(&world.inference("silent")).await?;
    let claim = world
        .env
        .eventually("a claim that is launched and has no Node", LIMIT, async || {
            let claim = world.node_claims(&name).await?.pop().context("no claim")?;
            let status = claim.status.as_ref().context("no status")?;
            let is = |type_: &str, value: &str| status.condition(type_).is_some_and(|c| c.status == value);
            ensure!(
                is("Launched", "True") && is("Registered", "Unknown"),
                "{status:?}"
            );
            Ok(claim)
        })
        .await?;
    let mark = world.env.audit().mark()?;
    claims(world)
        .delete(&claim.name_any(), &DeleteParams::default())
        .await?;
    let says = world
        .condition(&name, "NodeClaimReady", "False", Some("NodeClaimLost"))
        .await?;
    ensure!(says.contains("Node not registered"), "{says}");
    ensure!(
        requests(world, mark, &claim.name_any())? == 0,
        "it was asked for at once"
    );
    class(world, "0s").await?;
    world.ready(&name).await?;
    world.delete(&name).await
}

/// Karpenter has no such type: it reports that in the claim, and provisions for no pod while the claim waits. So the claim
/// is withdrawn, and asked for with growing pauses.
async fn pods_get_nodes_while_a_claim_cannot_launch(world: &World) -> Result<()> {
    node_pool(world).await?;
    let mark = world.env.audit().mark()?;
    let mut object = world.inference("unlaunched");
    object["resource"]["instanceType"] = UNKNOWN_TYPE.into();
    let name = world.apply(&object).await?;
    let says = world
        .condition(&name, "NodeClaimReady", "False", Some("NodeClaimNotLaunched"))
        .await?;
    ensure!(says.contains("instance type not found"), "{says}");
    ensure!(
        says.contains("node class") && !says.contains("activity log"),
        "{says}"
    );
    let claim = claim_of_failed(&says)?;
    let before = jiff::Timestamp::now();
    deploy(world, "other", 1).await?;
    world
        .env
        .eventually(
            "a pod of another team to run",
            Duration::from_secs(90),
            async || running(world, "other", 1).await,
        )
        .await?;
    let waited = jiff::Timestamp::now().duration_since(before);
    // The claim still cannot launch.
    world.condition(&name, "NodeClaimReady", "False", None).await?;
    let says = world
        .condition(&name, "NodeClaimReady", "False", Some("NodeClaimLost"))
        .await?;
    ensure!(says.contains("instance type not found"), "{says}");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asked = requests(world, mark, &claim)?;
    ensure!(
        (1..=6).contains(&asked),
        "asked {asked} times; the pod waited for {waited:#}"
    );
    world.delete(&name).await
}

/// A NodePool for the pods of others. It consolidates at once.
async fn node_pool(world: &World) -> Result<()> {
    let [group, kind, class] = CLASS;
    let object = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"},
        "spec": {
            "disruption": {"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "0s"},
            "template": {"spec": {
                "nodeClassRef": {"group": group, "kind": kind, "name": class},
                "requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}],
                "expireAfter": "Never",
            }},
        },
    });
    dynamic(world, "karpenter.sh", "v1", "NodePool")
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    Ok(())
}

/// Pods that know nothing of KAITO and fit no node that is there.
async fn deploy(world: &World, name: &str, replicas: i32) -> Result<()> {
    let labels = json!({"app": name});
    let container = json!({
        "name": "main", "image": "pause", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
    });
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "nodeSelector": {"karpenter.sh/nodepool": "general"}},
            },
        },
    });
    let all: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    all.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object))
        .await?;
    Ok(())
}

async fn running(world: &World, name: &str, replicas: i32) -> Result<()> {
    let all: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let status = all.get(name).await?.status.unwrap_or_default();
    ensure!(
        status.ready_replicas.unwrap_or_default() == replicas,
        "{status:?}"
    );
    Ok(())
}

/// Karpenter removes the NodePool's node once it is empty. The nodes of two Workspaces stay, one with a model that serves
/// and one whose pods are all gone.
async fn disruption_spares_our_nodes(world: &World) -> Result<()> {
    let serving = world.apply(&world.inference("serving")).await?;
    let idle = world.apply(&world.inference("idle")).await?;
    for name in [&serving, &idle] {
        world.ready(name).await?;
    }
    let nodes = || async {
        let mut all = Vec::new();
        for name in [&serving, &idle] {
            all.extend(world.nodes(name).await?.iter().map(|node| node.uid()));
        }
        anyhow::Ok(all)
    };
    let before = nodes().await?;
    ensure!(before.len() == 2, "{before:?}");
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let of_idle = ListParams::default().labels(&format!("kaito.sh/workspace={idle}"));
    pods.delete_collection(&DeleteParams::default(), &of_idle).await?;
    deploy(world, "other", 0).await?;
    let pooled = ListParams::default().labels("karpenter.sh/nodepool=general");
    let all: Api<Node> = Api::all(world.client.clone());
    world
        .env
        .eventually("the empty node of the NodePool to go", LIMIT, async || {
            let left = all.list(&pooled).await?.items.len();
            ensure!(left == 0, "{left} left");
            Ok(())
        })
        .await?;
    // Karpenter looks for nodes to disrupt every ten seconds.
    tokio::time::sleep(Duration::from_secs(25)).await;
    ensure!(nodes().await? == before, "a node of ours was disrupted");
    let events: Api<Event> = Api::all(world.client.clone());
    let ours = events.list(&ListParams::default()).await?;
    let disrupted = ours.iter().find(|event| {
        let about = event.involved_object.name.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some("DisruptionTerminating") && about.contains("ws")
    });
    ensure!(disrupted.is_none(), "{disrupted:?}");
    for name in [&serving, &idle] {
        world.delete(name).await?;
    }
    let left: Vec<Workspace> = world.workspaces().list(&ListParams::default()).await?.items;
    ensure!(left.is_empty(), "Workspaces are left");
    no_kwok_node_is_left(world).await
}
