//! A Workspace that begins while the preset registry is away, in a namespace whose quota is used up.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kaito_api::Workspace;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testkit::NAMESPACE;

use installation::{Installation, LIMIT};

use crate::{serving, shared};

/// Pods of a program of the operator.
fn pods_of(component: &str) -> ListParams {
    ListParams::default().labels(&format!("app.kubernetes.io/component={component}"))
}

async fn scale_registry(system: &Installation, replicas: u32) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(system.client().await?, NAMESPACE);
    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments
        .patch_scale("kaito-preset-registry", &PatchParams::default(), &scale)
        .await?;
    Ok(())
}

/// Takes the registry away, and what the controllers remember of it.
async fn take_registry_away(system: &Installation) -> Result<()> {
    scale_registry(system, 0).await?;
    let pods: Api<Pod> = Api::namespaced(system.client().await?, NAMESPACE);
    let none = async |component: &str| -> Result<()> {
        let left = pods.list(&pods_of(component)).await?.items.len();
        ensure!(left == 0, "{left} pods of {component} are left");
        Ok(())
    };
    system
        .env
        .eventually("the registry to end", LIMIT, async || {
            none("preset-registry").await
        })
        .await?;
    let all = pods_of("workspace-controller");
    pods.delete_collection(&DeleteParams::default(), &all).await?;
    Ok(())
}

#[tokio::test]
async fn a_lost_registry_and_a_full_quota_delay_a_workspace_and_end_it_not() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    let client = system.client().await?;
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &namespace);
    let full = json!({"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}});
    quotas
        .create(&PostParams::default(), &serde_json::from_value(full)?)
        .await?;
    let workspaces: Api<Workspace> = Api::namespaced(client, &namespace);
    {
        let _release = shared::release().await;
        take_registry_away(&system).await?;
        let late = serving::workspace("late")?;
        workspaces.create(&PostParams::default(), &late).await?;
        system
            .reason(&namespace, "late", "ResourceReady", "PresetRegistryUnavailable")
            .await?;
        ensure!(
            system.pools(&namespace, "late").await?.is_empty(),
            "a node was bought"
        );
        scale_registry(&system, 2).await?;
        system
            .condition(&namespace, "late", "ResourceReady", "True")
            .await?;
    }
    let found = system
        .reason(&namespace, "late", "InferenceReady", "ResourceQuotaExceeded")
        .await?;
    ensure!(found.contains("full"), "the quota is not named: {found}");
    quotas.delete("full", &DeleteParams::default()).await?;
    system
        .condition(&namespace, "late", "WorkspaceReady", "True")
        .await?;
    system.delete(&namespace, "late").await
}
