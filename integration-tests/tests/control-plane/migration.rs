//! A cluster that upstream KAITO 0.12 ran is taken over: its claims, agent pools, Nodes and workloads stay. Nothing is bought
//! twice, and nothing is deleted that is not a Workspace's.

mod objects;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kaito_api::NodeClaim;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Stack, StackOptions, TestEnv};

use self::objects::{Claim, OWNER_KEYS, RAG_KEYS};
use crate::probes::get;
use crate::world::{LIMIT, World};

/// The claim of the Workspace.
const CLAIM: &str = "ws1a2b3c4d5";
/// The claim of a RAGEngine, a kind that we do not have.
const RAG_CLAIM: &str = "ws0f0f0f0f0";
/// An agent pool that lost its claim.
const LEFT_POOL: &str = "wsdeadbeef0";
/// The Workspace, as upstream left it.
const NAME: &str = "workspace-phi";

#[tokio::test]
async fn a_cluster_of_upstream_is_taken_over() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        node_provisioner: "nodeclaim",
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    for (program, name) in [
        (&mut stack.controller, "workspace-controller"),
        (&mut stack.provisioner, "gpu-provisioner"),
    ] {
        program.kill9()?;
        world.forget_leader(name).await?;
    }
    let before = upstream(&world).await?;
    stack.provisioner = stack.programs.start_provisioner(env)?;
    stack.controller = stack.programs.start_controller(env)?;
    stack.await_ready(env).await?;

    keeps_running(&world, &stack, &before).await?;
    says_why_edits_wait(&world, &before).await?;
    moves_when_asked(&world).await?;
    world.delete(NAME).await?;
    ensure!(
        all_pools(&world).await? == [RAG_CLAIM, LEFT_POOL],
        "{:?}",
        all_pools(&world).await?
    );
    let left = Api::<NodeClaim>::all(world.client.clone()).get(RAG_CLAIM).await?;
    ensure!(left.metadata.deletion_timestamp.is_none(), "{left:?}");
    Ok(())
}

/// Objects that upstream left.
struct Before {
    claim: NodeClaim,
    stateful_set: StatefulSet,
    pod: Pod,
}

/// Everything that upstream's controller and provisioner wrote for one Workspace that serves, and more that is not ours.
async fn upstream(world: &World) -> Result<Before> {
    let owner = [NAME, &world.namespace];
    let claims = [
        Claim {
            name: CLAIM,
            keys: OWNER_KEYS,
            owner,
        },
        Claim {
            name: RAG_CLAIM,
            keys: RAG_KEYS,
            owner: ["rag", &world.namespace],
        },
    ];
    let left = Claim {
        name: LEFT_POOL,
        keys: OWNER_KEYS,
        owner: ["gone", &world.namespace],
    };
    let workspace = create(world, &objects::workspace(NAME)).await?;
    let uid = workspace.uid().context("no UID")?;
    for claim in &claims {
        create(world, &claim.object()).await?;
        objects::put_pool(world, claim).await?;
    }
    objects::put_pool(world, &left).await?;
    for claim in &claims {
        has_joined(world, claim).await?;
    }
    for object in objects::serving(NAME, &world.namespace, &uid) {
        create(world, &object).await?;
    }
    let sets: Api<StatefulSet> = Api::namespaced(world.client.clone(), &world.namespace);
    let serves = world
        .env
        .eventually("upstream's model to serve", LIMIT, async || {
            let set = sets.get(NAME).await?;
            let ready = set.status.as_ref().and_then(|status| status.ready_replicas);
            ensure!(ready == Some(1), "{ready:?}");
            Ok(set)
        });
    let stateful_set = serves.await?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    Ok(Before {
        claim: Api::all(world.client.clone()).get(CLAIM).await?,
        stateful_set,
        pod: pods.get(&format!("{NAME}-0")).await?,
    })
}

/// Creates an object, as any client.
async fn create(world: &World, object: &Value) -> Result<DynamicObject> {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion")
        .split_once('/')
        .unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    let api: Api<DynamicObject> = if text("kind") == "NodeClaim" {
        Api::all_with(world.client.clone(), &resource)
    } else {
        Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
    };
    let created = api
        .create(&PostParams::default(), &serde_json::from_value(object.clone())?)
        .await;
    created.with_context(|| format!("{} {}", text("kind"), object["metadata"]["name"]))
}

/// Waits for the Node, and writes what upstream's provisioner writes then.
async fn has_joined(world: &World, claim: &Claim<'_>) -> Result<()> {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let claims: Api<NodeClaim> = Api::all(world.client.clone());
    let node = world.env.eventually("the Node of a pool", LIMIT, async || {
        let of_pool = kube::api::ListParams::default().labels(&format!("agentpool={}", claim.name));
        let node = nodes.list(&of_pool).await?.items.pop().context("no Node")?;
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions
            .into_iter()
            .flatten()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        ensure!(ready, "not ready");
        Ok(node)
    });
    let node = node.await?;
    let uid = claims.get(claim.name).await?.uid().context("no UID")?;
    let registered = claim.on_node(&uid);
    let merge = PatchParams::default();
    nodes
        .patch(&node.name_any(), &merge, &Patch::Merge(&registered))
        .await?;
    let provider_id = node
        .spec
        .and_then(|spec| spec.provider_id)
        .context("no provider id")?;
    let status = objects::claim_status(node.metadata.name.as_deref().unwrap_or_default(), &provider_id);
    claims
        .patch_status(claim.name, &merge, &Patch::Merge(&status))
        .await?;
    Ok(())
}

/// Names of all agent pools, in the order of their creation.
async fn all_pools(world: &World) -> Result<Vec<String>> {
    let mut names: Vec<String> = world
        .cloud()?
        .pools()
        .await?
        .into_iter()
        .map(|pool| pool.name)
        .collect();
    names.sort();
    Ok(names)
}

/// The Workspace is ready with what it had: claim, pool, Node, StatefulSet and pod.
async fn keeps_running(world: &World, stack: &Stack, before: &Before) -> Result<()> {
    world.ready(NAME).await?;
    world.quiet(&world.namespace).await?;
    ensure!(
        all_pools(world).await? == [RAG_CLAIM, CLAIM, LEFT_POOL],
        "{:?}",
        all_pools(world).await?
    );
    let claims = world.node_claims(NAME).await?;
    let [claim] = claims.as_slice() else {
        bail!("{} claims", claims.len())
    };
    ensure!(claim.metadata.uid == before.claim.metadata.uid, "another claim");
    let client = || world.client.clone();
    let sets: Api<StatefulSet> = Api::namespaced(client(), &world.namespace);
    let set = sets.get(NAME).await?;
    ensure!(
        set.metadata.generation == before.stateful_set.metadata.generation,
        "upstream's workload was changed: {set:?}"
    );
    let pods: Api<Pod> = Api::namespaced(client(), &world.namespace);
    let pod = pods.get(&before.pod.name_any()).await?;
    ensure!(
        pod.metadata.uid == before.pod.metadata.uid,
        "the pod was restarted"
    );
    let deployments: Api<Deployment> = Api::namespaced(client(), &world.namespace);
    ensure!(deployments.get_opt(NAME).await?.is_none(), "a second workload");
    let revisions: Api<ControllerRevision> = Api::namespaced(client(), &world.namespace);
    revisions.get(&objects::revision_name(NAME)).await?;
    let service: Service = Api::namespaced(client(), &world.namespace).get(NAME).await?;
    let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
    ensure!(
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| pod.labels().get(key) == Some(value)),
        "the Service does not lead to the pod that serves: {selector:?}"
    );
    world
        .env
        .eventually("the pool without a claim to be reported", LIMIT, async || {
            let (_, metrics) = get(&stack.programs.metrics_url("provisioner")).await?;
            let reported = metrics
                .lines()
                .any(|line| line == "kaito_unclaimed_upstream_instances 1.0");
            ensure!(reported, "{metrics}");
            Ok(())
        })
        .await
}

/// An edit leaves upstream's workload alone. The status says so, and what helps.
async fn says_why_edits_wait(world: &World, before: &Before) -> Result<()> {
    let body = json!({"metadata": {"annotations": {"kaito.sh/max-context-tokens": "2048"}}});
    let workspaces = world.workspaces();
    workspaces
        .patch(NAME, &PatchParams::default(), &Patch::Merge(&body))
        .await?;
    world
        .env
        .eventually("the status to say that the edit waits", LIMIT, async || {
            let status = workspaces.get(NAME).await?.status.context("no status")?;
            let ready = status.conditions.iter().find(|c| c.type_ == "WorkspaceReady");
            let says = &ready.context("no condition")?.message;
            for part in ["do not reach it", "Set the annotation kaito.sh/upgrade"] {
                ensure!(says.contains(part), "{says}");
            }
            Ok(())
        })
        .await?;
    world.quiet(&world.namespace).await?;
    let sets: Api<StatefulSet> = Api::namespaced(world.client.clone(), &world.namespace);
    let set = sets.get(NAME).await?;
    ensure!(
        set.metadata.generation == before.stateful_set.metadata.generation,
        "upstream's workload was changed: {set:?}"
    );
    Ok(())
}

/// `kaito.sh/upgrade` replaces upstream's workload by ours, on the same node.
async fn moves_when_asked(world: &World) -> Result<()> {
    let body = json!({"metadata": {"annotations": {"kaito.sh/upgrade": "now"}}});
    let merge = PatchParams::default();
    world
        .workspaces()
        .patch(NAME, &merge, &Patch::Merge(&body))
        .await?;
    let sets: Api<StatefulSet> = Api::namespaced(world.client.clone(), &world.namespace);
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    world
        .env
        .eventually("our workload", LIMIT, async || {
            ensure!(sets.get_opt(NAME).await?.is_none(), "upstream's is still there");
            let ours = deployments.get(NAME).await?;
            let ready = ours.status.and_then(|status| status.ready_replicas);
            ensure!(ready == Some(1), "{ready:?}");
            Ok(())
        })
        .await?;
    world.ready(NAME).await?;
    ensure!(
        world.pools(NAME).await? == [CLAIM],
        "{:?}",
        world.pools(NAME).await?
    );
    Ok(())
}
