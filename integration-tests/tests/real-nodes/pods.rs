//! Pods of a user's own template that fail on a real kubelet: the status of the Workspace names the cause.

use anyhow::{Result, ensure};
use installation::SHELL_IMAGE;
use kaito_api::Workspace;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::shared;

/// A Workspace with one container of its own on a node without GPU.
fn workspace(name: &str, container: &Value) -> Result<Workspace> {
    let security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    Ok(serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name},
        "resource": {"instanceType": "Standard_D8s_v5", "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"template": {"spec": {"securityContext": security, "containers": [container]}}},
    }))?)
}

/// A container that runs a script, with further fields.
fn container(script: &str, more: &Value) -> Value {
    let mut container = json!({
        "name": "main", "image": SHELL_IMAGE, "args": ["-c", script],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    if let (Some(container), Some(more)) = (container.as_object_mut(), more.as_object()) {
        container.extend(more.clone());
    }
    container
}

#[tokio::test]
async fn the_status_names_missing_secrets_and_missing_memory() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, &namespace);
    let secret = json!({"envFrom": [{"secretRef": {"name": "absent"}}]});
    let memory = json!({"resources": {"limits": {"memory": "32Mi"}}});
    // Bash keeps the whole text in memory.
    let greedy = "text=x; while :; do text=$text$text; done";
    for object in [
        workspace("secretless", &container("exit 0", &secret))?,
        workspace("greedy", &container(greedy, &memory))?,
    ] {
        workspaces.create(&PostParams::default(), &object).await?;
    }
    let found = system
        .reason(&namespace, "secretless", "InferenceReady", "SecretNotFound")
        .await?;
    ensure!(found.contains("absent"), "{found}");
    system
        .reason(&namespace, "greedy", "InferenceReady", "ContainerOOMKilled")
        .await?;
    system.delete(&namespace, "secretless").await?;
    system.delete(&namespace, "greedy").await
}
