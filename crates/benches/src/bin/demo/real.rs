//! On real nodes: the operator is installed as a user installs it, a Workspace buys a node, and a model answers from a pod.

use std::io::IsTerminal as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use installation::{Installation, SHELL_IMAGE};
use serde_json::json;

use crate::common::{Args, PATIENCE, examples, say};
use crate::progress::Progress;
use crate::tools::{self, Tools};

const EXAMPLE: &str = "inference/smollm2-cpu.yaml";
const WORKSPACE: &str = "workspace-smollm2";
const QUESTION: &str = "What is the capital of France?";

pub(crate) async fn run(args: &Args, started: Instant) -> Result<()> {
    let system = Installation::start(move |line| say(started, line)).await?;
    let tools = Tools::of(&system.env).await?;
    println!("\n$ kubectl get pods --namespace {}", testkit::NAMESPACE);
    tools
        .show(&["get", "pods", "--namespace", testkit::NAMESPACE])
        .await?;

    println!("\n$ kubectl apply -f examples/{EXAMPLE}");
    let path = examples().join(EXAMPLE);
    let path = path.to_str().context("the example's path is not UTF-8")?;
    tools.show(&["apply", "--server-side", "-f", path]).await?;
    println!();
    Progress::new(&system.env, started)
        .await?
        .until_ready(1, PATIENCE, || Ok(()))
        .await?;
    println!("\n$ kubectl get workspaces,machines,nodes,pods");
    tools
        .show(&["get", "workspaces.v1beta1.kaito.sh,machines,nodes,pods"])
        .await?;
    ask(&tools).await?;
    show_page(args, &system, &tools, started).await?;
    delete(&system, &tools, started).await
}

/// The curl of the user's guide, from a pod.
async fn ask(tools: &Tools) -> Result<()> {
    let address = "jsonpath={.spec.clusterIP}";
    let address = tools
        .kubectl(&["get", "service", WORKSPACE, "--output", address])
        .await?;
    println!(
        "\n$ export CLUSTERIP=$(kubectl get svc {WORKSPACE} -o jsonpath=\"{{.spec.clusterIP}}\")    # {address}"
    );
    let body = json!({"prompt": QUESTION, "generate_kwargs": {"do_sample": false}}).to_string();
    println!(
        "$ kubectl run -i --rm --restart=Never curl --image=… -- curl -X POST http://$CLUSTERIP/chat -H \"accept: \
         application/json\" -H \"Content-Type: application/json\" -d '{body}'"
    );
    let run = "run curl --quiet --stdin --rm --restart=Never --command --image";
    let url = format!("http://{address}/chat");
    let curl = [
        SHELL_IMAGE,
        "--",
        "curl",
        "--silent",
        "--show-error",
        "-X",
        "POST",
        &url,
    ];
    let headers = [
        "-H",
        "accept: application/json",
        "-H",
        "Content-Type: application/json",
    ];
    let run: Vec<&str> = run
        .split(' ')
        .chain(curl)
        .chain(headers)
        .chain(["-d", &body])
        .collect();
    let answer = tools.kubectl(&run).await?;
    println!("{answer}");
    ensure!(answer.contains("Result"), "the model did not answer");
    Ok(())
}

/// Shows where the page of the model is, and waits for the person at the terminal.
async fn show_page(args: &Args, system: &Installation, tools: &Tools, started: Instant) -> Result<()> {
    let (_forwarding, url) = tools.forward(WORKSPACE, 80)?;
    let url = format!("{url}/ui");
    testkit::eventually("the page", PATIENCE, async || tools::page(&url).await).await?;
    println!();
    say(started, &format!("chat with the model: {url}"));
    if !args.keep && !std::io::stdin().is_terminal() {
        return Ok(());
    }
    println!(
        "\nEverything keeps running. In another terminal:\n\n  export KUBECONFIG={}\n  kubectl get \
         workspaces,machines,nodes,pods --all-namespaces\n\nCtrl-C deletes the Workspace, then the cluster.",
        system.env.cluster().kubeconfig().display()
    );
    tokio::signal::ctrl_c().await?;
    Ok(())
}

async fn delete(system: &Installation, tools: &Tools, started: Instant) -> Result<()> {
    println!("\n$ kubectl delete workspace {WORKSPACE}");
    tools
        .show(&["delete", "workspace", WORKSPACE, "--timeout=120s"])
        .await?;
    let pools = tools::agent_pools(&system.arm_url).await?;
    ensure!(pools.is_empty(), "a pool is left behind: {pools:?}");
    say(
        started,
        "the Workspace is gone; its pod, its Machine, its node and its agent pool went first",
    );
    Ok(())
}
