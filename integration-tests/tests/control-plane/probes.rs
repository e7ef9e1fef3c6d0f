//! `/healthz` and `/readyz` of the running programs: quiet on an idle cluster, and true when it stops answering.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use local_cluster::{ClusterOptions, Tier};
use testkit::{Stack, StackOptions, TestEnv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::LIMIT;

const SILENCE_SECONDS: u32 = 8;
const PROGRAMS: [&str; 2] = ["controller", "provisioner"];

/// Status and body of a probe.
async fn probe(stack: &Stack, program: &str, path: &str) -> Result<(u16, String)> {
    get(&stack.programs.probe_url(program, path)).await
}

/// A GET without a library of its own: status and body.
pub(crate) async fn get(url: &str) -> Result<(u16, String)> {
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .context("no path")?;
    let mut stream = TcpStream::connect(host).await?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let status = text.split(' ').nth(1).context("no status")?.parse()?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    Ok((status, body.unwrap_or_default()))
}

/// Waits until a probe has this status and its body has this text.
async fn becomes(stack: &Stack, program: &str, path: &str, status: u16, text: &str) -> Result<()> {
    testkit::eventually(&format!("{program} /{path} {status} {text}"), LIMIT, async || {
        let found = probe(stack, program, path).await?;
        ensure!(found.0 == status && found.1.contains(text), "{found:?}");
        Ok(())
    })
    .await
}

fn signal(name: &str, pid: u32) -> Result<()> {
    let status = std::process::Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}

#[tokio::test]
async fn probes_are_quiet_on_an_idle_cluster_and_fail_when_it_is_silent() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::ControlPlaneOnly)).await?,
    ));
    let options = StackOptions {
        watch_silence_seconds: SILENCE_SECONDS,
        // Longer than the silence: a leader that loses its lease ends, and would not show it.
        lease_seconds: 120,
        ..StackOptions::default()
    };
    let stack = Stack::start(env, options).await?;
    for program in PROGRAMS {
        becomes(&stack, program, "readyz", 200, "ok").await?;
    }
    for _ in 0..3 * SILENCE_SECONDS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (program, path) in PROGRAMS.iter().flat_map(|p| [(p, "healthz"), (p, "readyz")]) {
            let found = probe(&stack, program, path).await?;
            ensure!(found.0 == 200, "{program} /{path} on an idle cluster: {found:?}");
        }
    }
    silence_is_reported(env, &stack).await?;
    removed_definitions_are_reported(env, &stack).await
}

/// The API server hangs: it keeps its connections and answers nothing.
async fn silence_is_reported(env: &TestEnv, stack: &Stack) -> Result<()> {
    let pid = env
        .cluster()
        .programs()
        .find_map(|(name, pid)| (name == "kube-apiserver").then_some(pid))
        .context("no kube-apiserver")?;
    signal("STOP", pid)?;
    let result: Result<()> = async {
        for program in PROGRAMS {
            becomes(stack, program, "healthz", 503, "no answer from the API server").await?;
            becomes(stack, program, "readyz", 503, "watch of Node").await?;
        }
        Ok(())
    }
    .await;
    signal("CONT", pid)?;
    result?;
    for program in PROGRAMS {
        becomes(stack, program, "healthz", 200, "ok").await?;
        becomes(stack, program, "readyz", 200, "ok").await?;
    }
    Ok(())
}

async fn removed_definitions_are_reported(env: &TestEnv, stack: &Stack) -> Result<()> {
    let client = env.client().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions
        .delete("nodeclaims.karpenter.sh", &DeleteParams::default())
        .await?;
    for program in PROGRAMS {
        becomes(stack, program, "readyz", 503, "watch of NodeClaim").await?;
        // A restart would not help.
        becomes(stack, program, "healthz", 200, "ok").await?;
    }
    testkit::install_crds(client).await?;
    for program in PROGRAMS {
        becomes(stack, program, "readyz", 200, "ok").await?;
    }
    Ok(())
}
