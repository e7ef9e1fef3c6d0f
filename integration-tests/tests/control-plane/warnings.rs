//! Events of the kubelet and of controllers: the status shows them while they last.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::refusals::{no_status_is_written, quota};
use crate::world::{self, LIMIT, World};

const FATE: &str = "kwok.kaito.sh/fate";

/// Waits for a pod of a Workspace that its node prepares.
async fn prepared_pod(world: &World, workspace: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let of = ListParams::default().labels(&format!("kaito.sh/workspace={workspace}"));
    world
        .env
        .eventually("a pod that is prepared", LIMIT, async || {
            let pod = pods.list(&of).await?.items.pop().context("no pod")?;
            let status = pod.status.as_ref().context("no status")?;
            ensure!(status.container_statuses.is_some(), "not prepared yet");
            Ok(pod)
        })
        .await
}

/// Writes the Event that a kubelet writes when it cannot mount a volume.
async fn mount_fails(client: &Client, pod: &Pod, message: &str) -> Result<Api<Event>> {
    let namespace = pod.namespace().context("no namespace")?;
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let event = json!({
        "metadata": {"name": "mount", "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": pod.name_any(), "uid": pod.uid()},
        "type": "Warning", "reason": "FailedMount", "message": message, "count": 1,
        "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": "2026-01-05T10:00:00Z", "lastTimestamp": "2026-01-05T10:00:00Z",
    });
    events
        .create(&PostParams::default(), &serde_json::from_value(event)?)
        .await?;
    Ok(events)
}

#[tokio::test]
async fn a_config_map_that_a_pod_misses_is_named_until_the_pod_goes_on() -> Result<()> {
    let world = world::shared().await?;
    let mut workspace = world.inference("unmounted");
    workspace["inference"] = json!({"template": {
        "metadata": {"annotations": {FATE: "being-prepared"}},
        "spec": {"containers": [{"name": "a", "image": "example.com/a:1"}]},
    }});
    let name = world.apply(&workspace).await?;
    let pod = prepared_pod(&world, &name).await?;
    let loading = Some("WorkspaceInferenceStatusPending");
    world.condition(&name, "InferenceReady", "False", loading).await?;
    let message = "MountVolume.SetUp failed for volume \"settings\" : configmap \"settings\" not found";
    let events = mount_fails(&world.client, &pod, message).await?;
    let says = world
        .condition(&name, "InferenceReady", "False", Some("ConfigMapNotFound"))
        .await?;
    let expected = format!(
        "pod {} needs what does not exist: ConfigMap settings. Create the ConfigMap",
        pod.name_any()
    );
    ensure!(says.starts_with(&expected), "{says}");
    let again = json!({"count": 2, "lastTimestamp": "2026-01-05T10:02:00Z"});
    events
        .patch("mount", &PatchParams::default(), &Patch::Merge(again))
        .await?;
    no_status_is_written(&world).await?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let mended = json!({"metadata": {"annotations": {FATE: null}}});
    pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(mended))
        .await?;
    // The Event is still there.
    world.ready(&name).await?;
    world.delete(&name).await
}

#[tokio::test]
async fn a_job_whose_pods_a_quota_refuses_says_so() -> Result<()> {
    let world = world::shared().await?;
    let quota = quota(&world, json!({"pods": "0"})).await?;
    let name = world
        .apply(&json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "no-job-pods"},
            "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "t"}}},
            "tuning": {
                "preset": {"name": "phi-3-mini-4k-instruct"}, "method": "qlora",
                "input": {"urls": ["https://example.com/data.parquet"]},
                "output": {"image": "example.com/adapter:1", "imagePushSecret": "push"},
            },
        }))
        .await?;
    let says = world
        .condition(&name, "JobStarted", "False", Some("ResourceQuotaExceeded"))
        .await?;
    ensure!(
        says.starts_with("the pods of Job no-job-pods cannot be created: exceeded quota: q"),
        "{says}"
    );
    no_status_is_written(&world).await?;
    quota.delete("q", &DeleteParams::default()).await?;
    world.condition(&name, "JobStarted", "True", None).await?;
    world.delete(&name).await
}
