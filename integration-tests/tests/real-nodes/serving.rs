//! A Workspace buys a node, serves a model, and gives everything back.

use anyhow::{Context as _, Result, ensure};
use installation::{Installation, LIMIT};
use k8s_openapi::api::apps::v1::Deployment;
use kaito_api::Workspace;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use testkit::NAMESPACE;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::{chat, shared};

/// A Workspace for the small preset on a node without GPU.
pub(crate) fn workspace(name: &str) -> Result<Workspace> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name},
        "resource": {"instanceType": "Standard_D8s_v5", "labelSelector": {"matchLabels": {"apps": name}}},
        "inference": {"preset": {"name": "smollm2-135m-instruct"}},
    }))?)
}

#[tokio::test]
async fn a_workspace_serves_from_a_node_of_its_own_and_gives_everything_back() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    let client = system.client().await?;
    let workspaces: Api<Workspace> = Api::namespaced(client, &namespace);
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

    let address = system.address(&namespace, "small").await?;
    ensure_answers(&system, &namespace, &address).await?;
    the_plugin_sees_it(&system, &namespace).await?;
    chat::ensure_forwarded(&system, &namespace, "small").await?;

    let before = system.running(&namespace, "small").await?;
    replace_the_operator(&system, &namespace, &address).await?;
    let after = system.running(&namespace, "small").await?;
    ensure!(before == after, "{before:?} became {after:?}");

    // A loss of power: the status names it. The node is replaced by itself, and the model answers again.
    let lost = nodes[0].clone();
    system.host.kill(&lost)?;
    system
        .condition(&namespace, "small", "ResourceReady", "False")
        .await?;
    system
        .reason(&namespace, "small", "ResourceReady", "NodeUnhealthy")
        .await?;
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
    ensure_answers(&system, &namespace, &address).await?;

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

/// The plugin shows the phases and the bytes of the weights, and prints the logs of a real kubelet.
async fn the_plugin_sees_it(system: &Installation, namespace: &str) -> Result<()> {
    let said = async |args: &[&str]| -> Result<String> {
        let output = Command::new(testkit::program_path("kubectl-kaito")?)
            .args(args)
            .args(["--namespace", namespace])
            .env("KUBECONFIG", system.env.cluster().kubeconfig())
            .env("NO_PROXY", "*")
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{args:?}: {text}{error}");
        Ok(text)
    };
    let tree = said(&["status", "small"]).await?;
    for part in [
        "✓ weights",
        "GiB on each node",
        "✓ load, first answer",
        " ready\n",
    ] {
        ensure!(tree.contains(part), "{part} is missing:\n{tree}");
    }
    let engine = said(&["logs", "small"]).await?;
    ensure!(!engine.is_empty(), "the engine has no log");
    let last = said(&["logs", "small", "--tail", "1", "--all-pods"]).await?;
    ensure!(
        last.lines().count() == 1 && engine.contains(last.trim()),
        "{last}\n{engine}"
    );
    let weights = said(&["logs", "small", "--container", "weights"]).await?;
    ensure!(weights != engine, "{weights}");
    // It follows what is written, until it is stopped.
    let mut following = Command::new(testkit::program_path("kubectl-kaito")?)
        .args(["logs", "small", "--follow", "--namespace", namespace])
        .env("KUBECONFIG", system.env.cluster().kubeconfig())
        .env("NO_PROXY", "*")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let out = following.stdout.take().context("no output")?;
    let mut lines = BufReader::new(out).lines();
    let first = tokio::time::timeout(LIMIT, lines.next_line()).await??;
    ensure!(first.is_some_and(|line| engine.starts_with(&line)), "{engine}");
    ensure!(following.try_wait()?.is_none(), "it does not follow");
    Ok(())
}

/// Restarts, upgrades and rolls back every program of the operator while a client uses the model: no request fails.
async fn replace_the_operator(system: &Installation, namespace: &str, address: &str) -> Result<()> {
    let prompt = json!({"prompt": "Hello", "generate_kwargs": {"max_new_tokens": 4}});
    let request = curl(&format!("http://{address}/chat"), &prompt);
    let script =
        format!("while :; do {request} --fail --output /dev/null && echo answered || echo failed; done");
    let client = system.start_pod(namespace, &script).await?;
    let _release = shared::release().await;
    let deployments: Api<Deployment> = Api::namespaced(system.client().await?, NAMESPACE);
    for deployment in deployments.list(&ListParams::default()).await? {
        deployments.restart(&deployment.name_any()).await?;
    }
    system
        .env
        .eventually("the programs to be replaced", LIMIT, async || {
            for deployment in deployments.list(&ListParams::default()).await? {
                let status = deployment.status.clone().unwrap_or_default();
                ensure!(
                    status.observed_generation == deployment.metadata.generation
                        && status.replicas == Some(2)
                        && status.updated_replicas == Some(2)
                        && status.available_replicas == Some(2),
                    "{}: {status:?}",
                    deployment.name_any()
                );
            }
            Ok(())
        })
        .await?;
    system
        .helm(&["upgrade", "kaito"], &["--set", "podAnnotations.rolled=yes"])
        .await?;
    let rollback = [
        "rollback",
        "kaito",
        "1",
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        "4m",
    ];
    system.helm_run(&rollback).await?;
    let log = system.end_pod(namespace, &client).await?;
    let answered = log.matches("answered").count();
    ensure!(
        answered >= 10 && !log.contains("failed"),
        "{answered} answers: {log}"
    );
    Ok(())
}

/// Asks the model through the cluster IP, from a pod: as the user's guide does, and as `OpenAI`'s clients do.
pub(crate) async fn ensure_answers(system: &Installation, namespace: &str, address: &str) -> Result<()> {
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

pub(crate) fn curl(url: &str, body: &Value) -> String {
    format!(
        "curl --silent --show-error --max-time 120 -X POST {url} -H 'accept: application/json' \
         -H 'Content-Type: application/json' -d '{body}'"
    )
}
