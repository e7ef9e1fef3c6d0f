//! On simulated nodes: the three example Workspaces become ready on a real control plane, and one is deleted.

use std::time::Instant;

use anyhow::{Context as _, Result};
use local_cluster::{ClusterOptions, Tier};
use testkit::TestEnv;
use testkit::{Stack, StackOptions};

use crate::common::{Args, PATIENCE, examples, say};
use crate::progress::Progress;
use crate::tools::{self, Tools};

const EXAMPLES: [&str; 3] = [
    "upstream/kaito_workspace_phi_3.yaml",
    "upstream/kaito_workspace_phi_3_with_adapters.yaml",
    "upstream/kaito_workspace_tuning_phi_3.yaml",
];
const DELETED: &str = "workspace-phi-3-mini";

pub(crate) async fn run(args: &Args, started: Instant) -> Result<()> {
    say(
        started,
        "starting etcd, kube-apiserver, controller-manager, scheduler and KWOK",
    );
    let env = TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?;
    say(
        started,
        "installing the chart with helm, starting the cloud server and the three programs",
    );
    let options = StackOptions {
        create_seconds: args.pool_seconds,
        publish_catalog: true,
        ..StackOptions::default()
    };
    let mut stack = Stack::start(&env, options).await?;
    let tools = Tools::of(&env).await?;
    for example in EXAMPLES {
        let path = examples().join(example);
        let path = path.to_str().context("the example's path is not UTF-8")?;
        println!("\n$ kubectl apply -f examples/{example}");
        tools.show(&["apply", "--server-side", "-f", path]).await?;
    }
    println!();
    let mut progress = Progress::new(&env, started).await?;
    progress
        .until_ready(EXAMPLES.len(), PATIENCE, || stack.ensure_running())
        .await?;
    show_result(&tools, &stack).await?;
    show_refusal(&tools).await?;
    delete_one(&tools, &stack, started).await?;
    say(started, "done");
    if args.keep {
        println!(
            "\nEverything keeps running. In another terminal:\n\n  export KUBECONFIG={}\n  kubectl get workspaces,machines,nodes\n\nCtrl-C ends it.",
            env.cluster().kubeconfig().display()
        );
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

async fn show_result(tools: &Tools, stack: &Stack) -> Result<()> {
    println!("\n$ kubectl get workspace");
    tools.show(&["get", "workspaces.v1alpha1.kaito.sh"]).await?;
    println!("\n$ kubectl get machines,nodes,svc");
    tools.show(&["get", "machines,nodes,svc"]).await?;
    println!(
        "\n$ grpcurl -cacert ca.crt -H \"authorization: Bearer $(kubectl create token preset-reader …)\" -d '{{\"name\":\"phi-3-mini-4k-instruct\"}}' preset-registry:50051 kaito.preset.v1.PresetRegistry/GetPreset"
    );
    tools
        .ask_registry(&stack.programs.registry_address(), "phi-3-mini-4k-instruct")
        .await
}

/// Shows that `kubectl apply` rejects a typo, without a controller.
async fn show_refusal(tools: &Tools) -> Result<()> {
    let wrong = "llama-3.1-8b-instrukt";
    println!("\n$ kubectl apply -f workspace-with-a-slip.yaml    # preset: {{name: {wrong}}}");
    let refusal = testkit::eventually("the catalog to be in force", PATIENCE, async || {
        tools
            .refusal(&slip(wrong))
            .await?
            .context("the Workspace was accepted")
    })
    .await?;
    println!("{refusal}");
    Ok(())
}

fn slip(preset: &str) -> String {
    serde_json::json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "slip"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "slip"}}},
        "inference": {"preset": {"name": preset}},
    })
    .to_string()
}

async fn delete_one(tools: &Tools, stack: &Stack, started: Instant) -> Result<()> {
    println!("\n$ kubectl delete workspace {DELETED}");
    tools
        .show(&["delete", "workspace", DELETED, "--timeout=120s"])
        .await?;
    let pools = tools::agent_pools(&stack.programs.arm().url).await?;
    say(
        started,
        "the Workspace is gone; its Machine, its Node and its agent pool went first",
    );
    println!("\n$ kubectl get workspaces,machines,nodes");
    tools
        .show(&["get", "workspaces.v1alpha1.kaito.sh,machines,nodes"])
        .await?;
    println!("\nagent pools at the cloud: {}", pools.join(", "));
    anyhow::ensure!(
        pools.len() == EXAMPLES.len() - 1,
        "a pool is left behind: {pools:?}"
    );
    Ok(())
}
