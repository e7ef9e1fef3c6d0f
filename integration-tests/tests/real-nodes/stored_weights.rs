//! Weights near the GPU: the image store of a node keeps them when a pod ends.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kaito_api::Workspace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use installation::{Installation, LIMIT, Requests};

use crate::{serving, shared};

const ANNOTATION: &str = "kaito.sh/weights-image";
const ABSENT: &str = "registry.test/weights/absent:v1";

/// The one pod of a Workspace, once it is ready and is not `former`.
async fn ready_pod(system: &Installation, namespace: &str, name: &str, former: Option<&Pod>) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(system.client().await?, namespace);
    let of_workspace = ListParams::default().labels(&format!("kaito.sh/workspace={name}"));
    system
        .env
        .eventually(&format!("a ready pod of {name}"), LIMIT, async || {
            let all = pods.list(&of_workspace).await?.items;
            let is_former = |pod: &Pod| former.is_some_and(|former| former.uid() == pod.uid());
            let pod = all
                .into_iter()
                .find(|pod| !is_former(pod) && time(pod, "Ready").is_some());
            pod.context("no pod is ready")
        })
        .await
}

/// Time since the epoch at which a condition of the pod became true.
fn time(pod: &Pod, condition: &str) -> Option<Duration> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let is = |type_: &str, status: &str| type_ == condition && status == "True";
    let found = conditions.iter().find(|found| is(&found.type_, &found.status))?;
    let seconds = found.last_transition_time.as_ref()?.0.as_second();
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// Time from the node to the first answer.
fn start(pod: &Pod) -> Result<Duration> {
    let times = time(pod, "PodScheduled").zip(time(pod, "Ready"));
    let (scheduled, ready) = times.context("the pod has no times")?;
    Ok(ready.saturating_sub(scheduled))
}

/// Two starts of a model on one node: their times, and the requests to the registry and to the hub.
pub(crate) struct Starts {
    pub(crate) first: (Duration, Requests),
    pub(crate) second: (Duration, Requests),
}

/// Ends the pod, and waits until another one is ready on the same node.
pub(crate) async fn start_twice(system: &Installation, namespace: &str, name: &str) -> Result<Starts> {
    let first = ready_pod(system, namespace, name, None).await?;
    let before = system.requests(&first)?;
    let pods: Api<Pod> = Api::namespaced(system.client().await?, namespace);
    pods.delete(&first.name_any(), &DeleteParams::default()).await?;
    let second = ready_pod(system, namespace, name, Some(&first)).await?;
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    ensure!(node(&first) == node(&second), "the second pod is on another node");
    let after = system.requests(&second)?;
    let again = Requests {
        to_registry: after.to_registry - before.to_registry,
        ..after
    };
    Ok(Starts {
        first: (start(&first)?, before),
        second: (start(&second)?, again),
    })
}

fn workspace(name: &str, image: Option<&str>) -> Result<Workspace> {
    let mut workspace = serving::workspace(name)?;
    let annotation = image.map(|image| (ANNOTATION.to_owned(), image.to_owned()));
    workspace.metadata.annotations = annotation.map(|pair| [pair].into());
    Ok(workspace)
}

#[tokio::test]
async fn the_second_start_on_a_node_reads_nothing_from_outside() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let scratch = tempfile::tempdir()?;
    let image = system.push_weights("weights/smollm2", scratch.path()).await?;
    let namespace = system.namespace().await?;
    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, &namespace);
    for object in [workspace("stored", Some(ABSENT))?, workspace("downloaded", None)?] {
        workspaces.create(&PostParams::default(), &object).await?;
    }
    let found = system
        .reason(&namespace, "stored", "InferenceReady", "ImageNotFound")
        .await?;
    ensure!(
        found.contains(&format!("cannot get image {ABSENT} with the weights")),
        "{found}"
    );
    let change = json!({"metadata": {"annotations": {ANNOTATION: image}}});
    workspaces
        .patch("stored", &PatchParams::default(), &Patch::Merge(&change))
        .await?;
    for name in ["stored", "downloaded"] {
        system
            .condition(&namespace, name, "WorkspaceReady", "True")
            .await?;
    }
    let address = system.address(&namespace, "stored").await?;
    serving::ensure_answers(&system, &namespace, &address).await?;

    let stored = start_twice(&system, &namespace, "stored").await?;
    let downloaded = start_twice(&system, &namespace, "downloaded").await?;
    said(&format!(
        "first and second start: {:?} and {:?} with an image volume, {:?} and {:?} with the hub",
        stored.first.0, stored.second.0, downloaded.first.0, downloaded.second.0
    ));
    ensure!(
        stored.first.1.to_registry > 0 && stored.first.1.to_hub == 0,
        "{:?}",
        stored.first.1
    );
    ensure!(stored.second.1 == Requests::default(), "{:?}", stored.second.1);
    // The same counter sees the step that downloads.
    ensure!(downloaded.first.1.to_hub > 0, "{:?}", downloaded.first.1);
    ensure!(downloaded.second.1.to_hub > 0, "{:?}", downloaded.second.1);
    serving::ensure_answers(&system, &namespace, &address).await?;

    let status = workspaces.get("stored").await?.status.unwrap_or_default();
    let cold_start = status.cold_start.context("there is no timeline")?;
    ensure!(
        cold_start.downloaded.is_none() && cold_start.started.is_some() && cold_start.ready.is_some(),
        "{cold_start:?}"
    );
    for name in ["stored", "downloaded"] {
        system.delete(&namespace, name).await?;
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "the times are a result of the test")]
fn said(line: &str) {
    eprintln!("{line}");
}
