//! The commit of a model that no preset pins: the one of the first use stays, whatever moves or is deleted, until an upgrade.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::{Path, State};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodSpec;
use kaito_api::workspace_status::{ModelRevision, ModelRevisionSource};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use local_cluster::{ClusterOptions, Tier};
use serde_json::{Value, json};
use testkit::{Stack, StackOptions, TestEnv};

use admission_cases::with;

use crate::proxy::Listener;
use crate::world::{LIMIT, World};

/// A preset that is not pinned, served and tuned.
const UNPINNED: &str = "smollm2-360m-instruct";

fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// A hub whose models all have the same commit.
struct Hub {
    head: Arc<Mutex<char>>,
    listener: Listener,
}

impl Hub {
    async fn start() -> Result<Self> {
        let head = Arc::new(Mutex::new('a'));
        let router = Router::new()
            .route("/api/models/{owner}/{name}", axum::routing::get(about))
            .with_state(Arc::clone(&head));
        let listener = Listener::start(router).await?;
        Ok(Self { head, listener })
    }

    fn push(&self, head: char) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }
}

async fn about(
    State(head): State<Arc<Mutex<char>>>,
    Path((owner, name)): Path<(String, String)>,
) -> axum::Json<Value> {
    let sha = commit(*head.lock().unwrap_or_else(PoisonError::into_inner));
    axum::Json(json!({"id": format!("{owner}/{name}"), "sha": sha, "siblings": []}))
}

fn serving(world: &World) -> Value {
    with(
        world.inference("serves"),
        "/inference/preset/name",
        UNPINNED.into(),
    )
}

fn tuning() -> Value {
    json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "tunes"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "tunes"}}},
        "tuning": {
            "preset": {"name": UNPINNED}, "method": "lora",
            "input": {"urls": ["https://example.com/data.parquet"]},
            "output": {"image": "example.com/adapter:1", "imagePushSecret": "push"},
        }
    })
}

/// The commit of the pods of both Workspaces, and the UIDs of their workloads.
async fn used(world: &World) -> Result<[(Option<String>, String); 2]> {
    let of = |pod: Option<PodSpec>| -> Result<Option<String>> {
        let pod = pod.context("no pod")?;
        Ok(render::commit_in(&pod).context("no download")?.map(str::to_owned))
    };
    let (deployments, jobs) = workloads(world);
    let deployment = deployments.get("serves").await?;
    let job = jobs.get("tunes").await?;
    let uids = [deployment.uid(), job.uid()].map(Option::unwrap_or_default);
    let [serves, tunes] = uids;
    let spec = job.spec.context("no spec")?;
    Ok([
        (of(deployment.spec.template.spec)?, serves),
        (of(spec.template.spec)?, tunes),
    ])
}

fn workloads(world: &World) -> (Api<Deployment>, Api<Job>) {
    let client = || world.client.clone();
    (
        Api::namespaced(client(), &world.namespace),
        Api::namespaced(client(), &world.namespace),
    )
}

async fn status(world: &World, name: &str) -> Result<ModelRevision> {
    let workspace = world.workspaces().get(name).await?;
    let status = workspace.status.context("no status")?;
    status.model_revision.context("no commit in the status")
}

/// Restarts registry and controller, so that nothing remembers the hub's answer.
async fn restart(world: &World, stack: &mut Stack) -> Result<()> {
    stack.controller.kill9()?;
    stack.registry.kill9()?;
    world.forget_leader("workspace-controller").await?;
    stack.registry = stack.programs.start_registry(world.env)?;
    stack.controller = stack.programs.start_controller(world.env)?;
    Ok(())
}

async fn annotate(world: &World, key: &str, value: &str) -> Result<()> {
    let body = json!({"metadata": {"annotations": {key: value}}});
    let workspaces = world.workspaces();
    workspaces
        .patch("serves", &PatchParams::default(), &Patch::Merge(&body))
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_commit_of_the_first_use_stays_until_an_upgrade() -> Result<()> {
    let hub = Hub::start().await?;
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let options = StackOptions {
        hub_endpoint: Some(format!("http://{}", hub.listener.address)),
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let world = World::on(env, &stack.programs).await?;
    world.apply(&serving(&world)).await?;
    world.apply(&tuning()).await?;
    let first_use = Some(commit('a'));
    let both = env.eventually("both workloads", LIMIT, async || {
        let used = used(&world).await?;
        ensure!(used.iter().all(|(commit, _)| *commit == first_use), "{used:?}");
        Ok(used)
    });
    let before = both.await?;
    world.ready("serves").await?;
    for name in ["serves", "tunes"] {
        let expected = ModelRevision {
            commit: first_use.clone(),
            source: ModelRevisionSource::FirstUse,
        };
        ensure!(
            status(&world, name).await? == expected,
            "{:?}",
            status(&world, name).await
        );
    }

    hub.push('b');
    restart(&world, &mut stack).await?;
    let difference = format!("{} -> {}", commit('a'), commit('b'));
    env.eventually("the newer commit to be announced", LIMIT, async || {
        let says = world.condition("serves", "WorkspaceReady", "True", None).await?;
        ensure!(
            says.contains("UpgradeAvailable: ") && says.contains(&difference),
            "{says}"
        );
        Ok(())
    })
    .await?;
    ensure!(used(&world).await? == before, "a restart changed a workload");

    let (deployments, jobs) = workloads(&world);
    deployments.delete("serves", &DeleteParams::default()).await?;
    jobs.delete("tunes", &DeleteParams::background()).await?;
    env.eventually("both workloads again", LIMIT, async || {
        let again = used(&world).await?;
        for ((commit, uid), (_, old)) in again.iter().zip(&before) {
            ensure!(uid != old, "the old one is there");
            // Not once may there be another.
            assert_eq!(*commit, first_use);
        }
        Ok(())
    })
    .await?;

    annotate(&world, "kaito.sh/upgrade", "1").await?;
    env.eventually("the upgrade", LIMIT, async || {
        let [(commit_, _), (of_job, _)] = used(&world).await?;
        ensure!(commit_ == Some(commit('b')) && of_job == first_use, "{commit_:?}");
        Ok(())
    })
    .await?;

    annotate(&world, "kaito.sh/model-revision", &commit('c')).await?;
    env.eventually("the commit of the annotation", LIMIT, async || {
        let [(used, _), _] = used(&world).await?;
        ensure!(used == Some(commit('c')), "{used:?}");
        let shown = status(&world, "serves").await?;
        ensure!(shown.source == ModelRevisionSource::Annotation, "{shown:?}");
        Ok(())
    })
    .await?;
    for name in ["serves", "tunes"] {
        world.delete(name).await?;
    }
    Ok(())
}
