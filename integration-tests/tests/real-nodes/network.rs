//! Network policies, enforced: the ports of engines and of the operator are closed to the pods of others.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kaito_api::Workspace;
use kube::Api;
use kube::api::PostParams;
use local_cluster::DevicePlugin;
use serde_json::json;

use installation::{Installation, LIMIT};

use crate::shared;

/// A model that needs two nodes.
fn workspace() -> Result<Workspace> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "group"},
        "resource": {
            "instanceType": "Standard_NC24ads_A100_v4", "count": 2, "labelSelector": {"matchLabels": {"apps": "group"}},
        },
        "inference": {"preset": {"name": "falcon-40b-instruct"}},
    }))?)
}

/// Connections from a pod of a namespace: the exit code of curl for each address.
async fn exit_codes(system: &Installation, namespace: &str, addresses: &[String]) -> Result<Vec<String>> {
    let script = format!(
        "for at in {}; do curl --silent --output /dev/null --max-time 5 http://$at/health; echo $?; done",
        addresses.join(" ")
    );
    let printed = system.in_a_pod(namespace, &script).await?;
    Ok(printed.lines().map(str::to_owned).collect())
}

/// The exit codes of curl for a connection that a network policy refuses, or lets time out.
fn is_closed(code: &str) -> bool {
    code == "7" || code == "28"
}

#[tokio::test]
async fn only_the_front_of_a_group_is_open_to_other_namespaces() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let (namespace, other) = (system.namespace().await?, system.namespace().await?);
    let client = system.client().await?;
    let workspaces: Api<Workspace> = Api::namespaced(client.clone(), &namespace);
    workspaces.create(&PostParams::default(), &workspace()?).await?;
    let nodes = system
        .env
        .eventually("two nodes", LIMIT, async || {
            let nodes = system.nodes(&namespace, "group").await?;
            ensure!(nodes.len() == 2, "{nodes:?}");
            Ok(nodes)
        })
        .await?;
    // Another test lets the cloud boot nodes without GPUs.
    let plugin = DevicePlugin {
        program: testkit::program_path("device-plugin")?,
        gpus: 1,
    };
    for node in &nodes {
        system.host.start_device_plugin(node, &plugin)?;
    }
    // The second pod is ready once it reaches the API of the engine in the first.
    system
        .condition(&namespace, "group", "WorkspaceReady", "True")
        .await?;

    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let status = pods.get("group-0").await?.status.unwrap_or_default();
    let leader = status.pod_ip.context("the first pod has no address")?;
    let worker = worker_log(&system, &namespace, "group-1").await?;
    for port in [6379, 29500] {
        ensure!(worker.contains(&format!("reached port {port} of ")), "{worker}");
    }

    let address = system.address(&namespace, "group").await?;
    let front = [format!("{leader}:5000"), address];
    let engine = [6379, 29500, 5001].map(|port| format!("{leader}:{port}"));
    let open = exit_codes(&system, &other, &front).await?;
    ensure!(open == ["0", "0"], "the front is not open: {open:?}");
    for namespace in [&other, &namespace] {
        let closed = exit_codes(&system, namespace, &engine).await?;
        ensure!(
            closed.len() == engine.len() && closed.iter().all(|code| is_closed(code)),
            "a port of {engine:?} is open: {closed:?}"
        );
    }

    // The operator's own registry answers its controller alone.
    let registry = format!("kaito-preset-registry.{}:50051", testkit::NAMESPACE);
    let codes = exit_codes(&system, &other, &[registry]).await?;
    ensure!(is_closed(&codes[0]), "the registry is open: {codes:?}");
    system.delete(&namespace, "group").await
}

/// The log of a pod of the group, once it names both ports.
async fn worker_log(system: &Installation, namespace: &str, pod: &str) -> Result<String> {
    system
        .env
        .eventually("the worker to ask its leader", LIMIT, async || {
            let log = system.log(namespace, pod).await?;
            ensure!(log.matches("reached port ").count() >= 2, "{log}");
            Ok(log)
        })
        .await
}
