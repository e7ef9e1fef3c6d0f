//! Failures on real nodes: the status of the Workspace names the cause.

use anyhow::{Context as _, Result, ensure};
use arm_server::config::{Behavior, BootMode, BootRule};
use arm_server::control::ControlClient;
use installation::ABSENT_IMAGE;
use kaito_api::Workspace;
use kube::Api;
use kube::api::PostParams;
use local_cluster::DevicePlugin;
use serde_json::json;

use crate::shared;

/// A Workspace with a container of its own on a node with one GPU.
fn workspace(name: &str) -> Result<Workspace> {
    let container = json!({
        "name": "main", "image": ABSENT_IMAGE, "resources": {"limits": {"nvidia.com/gpu": 1}},
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let security = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    Ok(serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"template": {"spec": {"securityContext": security, "containers": [container]}}},
    }))?)
}

/// The device plugin is missing, then a GPU works, then the image is absent, then the GPU fails.
#[tokio::test]
async fn the_status_names_a_missing_device_plugin_and_a_missing_image() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    let cloud = ControlClient::new(&system.arm_url)?;
    let boot = vec![BootRule {
        mode: BootMode::NoGpus,
        ..BootRule::default()
    }];
    cloud
        .set_behavior(&Behavior {
            boot,
            ..cloud.behavior().await?
        })
        .await?;
    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, &namespace);
    workspaces
        .create(&PostParams::default(), &workspace("gpu")?)
        .await?;

    let until = async |kind: &str, reason: &str| system.reason(&namespace, "gpu", kind, reason).await;
    until("ResourceReady", "NodePluginsNotReady").await?;
    let nodes = system.nodes(&namespace, "gpu").await?;
    let node = nodes.first().context("there is no Node")?;
    let plugin = DevicePlugin {
        program: testkit::program_path("device-plugin")?,
        gpus: 1,
    };
    system.host.start_device_plugin(node, &plugin)?;
    system
        .condition(&namespace, "gpu", "ResourceReady", "True")
        .await?;

    let found = until("InferenceReady", "ImageNotFound").await?;
    ensure!(found.contains(ABSENT_IMAGE), "{found}");

    system.host.set_gpus(node, 1, 0)?;
    until("ResourceReady", "NodePluginsNotReady").await?;
    system.delete(&namespace, "gpu").await
}
