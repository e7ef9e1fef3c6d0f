//! A Workspace buys a node, serves a model, and gives everything back.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use kaito_api::Workspace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use testkit::NAMESPACE;

use crate::installation::{self, Installation, LIMIT};

/// A Workspace for the small preset on a node without GPU.
fn workspace(name: &str) -> Result<Workspace> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name},
        "resource": {"instanceType": "Standard_D8s_v5", "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"preset": {"name": "smollm2-135m-instruct"}},
    }))?)
}

#[tokio::test]
async fn a_workspace_serves_from_a_node_of_its_own_and_gives_everything_back() -> Result<()> {
    let Some(system) = installation::shared().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    let client = system.client().await?;
    let workspaces: Api<Workspace> = Api::namespaced(client.clone(), &namespace);
    workspaces
        .create(&PostParams::default(), &workspace("small")?)
        .await?;
    system
        .condition(&namespace, "small", "WorkspaceReady", "True")
        .await?;
    ensure!(system.pools(&namespace, "small").await?.len() == 1);
    let nodes = system.nodes(&namespace, "small").await?;
    ensure!(nodes.len() == 1, "{nodes:?}");
    ensure!(system.host.is_running(&nodes[0])?);

    let service: Service = Api::namespaced(client.clone(), &namespace).get("small").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
    ensure_answers(system, &namespace, &address).await?;

    // An upgrade and a rollback replace every pod of the operator. No model restarts, and no claim is lost.
    let before = system.running(&namespace, "small").await?;
    system
        .helm(&["upgrade", "kaito"], &["--set", "podAnnotations.rolled=yes"])
        .await?;
    system
        .helm_run(&[
            "rollback",
            "kaito",
            "1",
            "--namespace",
            NAMESPACE,
            "--wait",
            "--timeout",
            "4m",
        ])
        .await?;
    let after = system.running(&namespace, "small").await?;
    ensure!(before == after, "{before:?} became {after:?}");
    ensure_answers(system, &namespace, &address).await?;

    // A loss of power: the status names it. The user gives the Node up, it is replaced, and the model answers again.
    let lost = nodes[0].clone();
    system.host.kill(&lost)?;
    system
        .condition(&namespace, "small", "ResourceReady", "False")
        .await?;
    let all: Api<Node> = Api::all(client);
    all.delete(&lost, &DeleteParams::default()).await?;
    system
        .env
        .eventually("another node", LIMIT, async || {
            let nodes = system.nodes(&namespace, "small").await?;
            ensure!(!nodes.is_empty() && !nodes.contains(&lost), "{nodes:?}");
            Ok(())
        })
        .await?;
    system
        .condition(&namespace, "small", "WorkspaceReady", "True")
        .await?;
    ensure!(
        system.host.directory(&lost).is_none(),
        "the lost machine is still there"
    );
    ensure_answers(system, &namespace, &address).await?;

    let nodes = system.nodes(&namespace, "small").await?;
    system.delete(&namespace, "small").await?;
    for node in nodes {
        ensure!(
            system.host.directory(&node).is_none(),
            "the machine of {node} is still there"
        );
    }
    Ok(())
}

/// Asks the model through the cluster IP, from a pod: as the user's guide does, and as `OpenAI`'s clients do.
async fn ensure_answers(system: &Installation, namespace: &str, address: &str) -> Result<()> {
    let question = "What is the capital of France?";
    let prompt = json!({"prompt": question, "generate_kwargs": {"do_sample": false}});
    let answer = system
        .in_a_pod(namespace, &curl(&format!("http://{address}/chat"), &prompt))
        .await?;
    ensure!(answer.contains("Result") && answer.contains("Paris"), "{answer}");

    let request = json!({
        "model": "smollm2-135m-instruct", "temperature": 0, "max_tokens": 24,
        "messages": [{"role": "user", "content": question}],
    });
    let completions = format!("http://{address}/v1/chat/completions");
    let answer = system.in_a_pod(namespace, &curl(&completions, &request)).await?;
    ensure!(answer.contains("Paris"), "{answer}");
    Ok(())
}

fn curl(url: &str, body: &Value) -> String {
    format!(
        "curl --silent --show-error --max-time 120 -X POST {url} -H 'accept: application/json' \
         -H 'Content-Type: application/json' -d '{body}'"
    )
}
