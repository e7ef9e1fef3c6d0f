//! Writes and pods that a part of the API server refuses: the rest is made, and the status names who refuses and what helps.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Service};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::world::{self, LIMIT, World};

/// Creates a quota and waits until it counts.
pub(crate) async fn quota(world: &World, hard: Value) -> Result<Api<ResourceQuota>> {
    let api: Api<ResourceQuota> = Api::namespaced(world.client.clone(), &world.namespace);
    let quota = serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}}))?;
    api.create(&PostParams::default(), &quota).await?;
    world
        .env
        .eventually("the quota to count", LIMIT, async || {
            let status = api.get("q").await?.status.context("no status")?;
            ensure!(
                status.used.is_some_and(|used| !used.is_empty()),
                "not counted yet"
            );
            Ok(())
        })
        .await?;
    Ok(api)
}

/// Checks that the controller writes no status while a problem lasts.
pub(crate) async fn no_status_is_written(world: &World) -> Result<()> {
    let mine = |write: &String| write.contains(&world.namespace) && write.contains("status");
    world
        .env
        .eventually("five seconds without a status", LIMIT, async || {
            let writes = world.writes_during(Duration::from_secs(5)).await?;
            let writes: Vec<String> = writes.into_iter().filter(mine).collect();
            ensure!(writes.is_empty(), "{writes:?}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_service_that_a_quota_refuses_is_shown_and_the_model_is_deployed() -> Result<()> {
    let world = world::shared().await?;
    let quota = quota(&world, json!({"services": "0"})).await?;
    let name = world.apply(&world.inference("no-service")).await?;
    let refused = Some("ResourceQuotaExceeded");
    let says = world.condition(&name, "InferenceReady", "False", refused).await?;
    ensure!(
        says.starts_with("Service no-service cannot be written: ")
            && says.contains("exceeded quota: q")
            && says.contains("Raise the ResourceQuota"),
        "{says}"
    );
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    world
        .env
        .eventually("the Deployment", LIMIT, async || {
            deployments.get(&name).await.map(drop).context("no Deployment")
        })
        .await?;
    let workspace = world.workspaces().get(&name).await?;
    let status = workspace.status.context("no status")?;
    ensure!(status.observed_generation == workspace.metadata.generation);
    no_status_is_written(&world).await?;
    quota.delete("q", &DeleteParams::default()).await?;
    world.ready(&name).await?;
    let services: Api<Service> = Api::namespaced(world.client.clone(), &world.namespace);
    services.get(&name).await?;
    world.delete(&name).await
}

#[tokio::test]
async fn pods_that_a_quota_or_pod_security_refuses_are_shown() -> Result<()> {
    let world = world::shared().await?;
    let quota = quota(&world, json!({"pods": "0"})).await?;
    let name = world.apply(&world.inference("no-pods")).await?;
    let says = world
        .condition(&name, "InferenceReady", "False", Some("ResourceQuotaExceeded"))
        .await?;
    ensure!(
        says.starts_with("the pods of Deployment no-pods cannot be created: exceeded quota: q"),
        "{says}"
    );
    world.delete(&name).await?;
    quota.delete("q", &DeleteParams::default()).await?;

    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    namespaces
        .patch(&world.namespace, &PatchParams::default(), &Patch::Merge(labels))
        .await?;
    let mut workspace = world.inference("privileged");
    workspace["inference"] = json!({"template": {"spec": {"containers": [
        {"name": "a", "image": "example.com/a:1", "securityContext": {"privileged": true}}]}}});
    let name = world.apply(&workspace).await?;
    let says = world
        .condition(&name, "InferenceReady", "False", Some("PodSecurityViolation"))
        .await?;
    ensure!(
        says.contains("violates PodSecurity \"restricted:latest\"") && says.contains("privileged"),
        "{says}"
    );
    world.delete(&name).await
}
