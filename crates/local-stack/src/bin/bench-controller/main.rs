//! How fast the controllers bring N Workspaces to ready, and what that costs, beside a bare writer of the same
//! objects in the same run.
//!
//! Nodes join at once, so that what is measured is the control plane. Prints figures and ratios; judges nothing.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod process;
mod watch;

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _};
use kaito_api::Workspace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use local_cluster::{ClusterOptions, Tier};
use local_stack::{Stack, StackOptions};
use serde_json::json;
use testkit::{Mark, TestEnv, WriteFilter};

use crate::process::Usage;

/// Measures the controllers on a control plane of their own.
#[derive(Debug, Parser)]
struct Args {
    /// How many Workspaces.
    #[arg(long, default_value_t = 100)]
    workspaces: usize,
    /// Most minutes the run may take.
    #[arg(long, default_value_t = 15)]
    minutes: u64,
}

/// Requests in flight of the benchmark's own writers, equal to the controllers' concurrency.
const CONCURRENCY: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let env = TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?;
    let options = StackOptions {
        create_seconds: 0.0,
        delete_seconds: 0.0,
        list_seconds: 1.0,
        log_filter: "warn".to_owned(),
        ..StackOptions::default()
    };
    let stack = Stack::start(&env, options).await?;
    let mark = env.audit().mark()?;
    let client = env.client().await?;
    println!("{} Workspaces of one GPU node each", args.workspaces);
    let limit = std::time::Duration::from_secs(args.minutes * 60);
    let started = Instant::now();
    let (_, claims, ready) = tokio::try_join!(
        create(&client, args.workspaces),
        watch::machines(&client, args.workspaces, started, limit),
        watch::ready(&client, args.workspaces, started, limit),
    )?;
    let usage = [
        ("workspace-controller", stack.controller.pid()),
        ("gpu-provisioner", stack.provisioner.pid()),
    ];
    println!(
        "all claims written after      {claims:8.1} s  {:8.1} /s",
        args.workspaces as f64 / claims
    );
    println!(
        "all Workspaces ready after    {ready:8.1} s  {:8.1} /s",
        args.workspaces as f64 / ready
    );
    for (name, pid) in usage {
        report(&env, mark, name, &Usage::of(pid)?, args.workspaces)?;
    }
    let bare = bare::claims(&client, args.workspaces, CONCURRENCY).await?;
    println!(
        "bare writer of the same claims{bare:8.1} s  {:8.1} /s",
        args.workspaces as f64 / bare
    );
    println!(
        "claims, controller : bare     {:8.2} x the bare writer's time",
        claims / bare
    );
    Ok(())
}

async fn create(client: &Client, count: usize) -> Result<()> {
    let api: Api<Workspace> = Api::namespaced(client.clone(), "default");
    futures::stream::iter(0..count)
        .map(|index| {
            let api = api.clone();
            async move {
                let name = format!("bench-{index}");
                let object = json!({
                    "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": name},
                    "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": name}}},
                    "inference": {"preset": {"name": "phi-4-mini-instruct"}}
                });
                api.patch(&name, &PatchParams::apply("bench"), &Patch::Apply(&object)).await.map(drop)
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>()
        .await?;
    Ok(())
}

fn report(env: &TestEnv, mark: Mark, name: &str, usage: &Usage, count: usize) -> Result<()> {
    let filter = WriteFilter::default()
        .user_agent(name)
        .without("leases")
        .without("events");
    let writes = env.audit().count_since(mark, &filter)?;
    let per_workspace = writes as f64 / count as f64;
    println!(
        "{name:<22} {per_workspace:6.2} writes a Workspace  peak RSS {:6.1} MB  CPU {:6.1} s ({:.1} ms a Workspace)",
        usage.peak_rss_mb,
        usage.cpu_seconds,
        usage.cpu_seconds * 1000.0 / count as f64
    );
    Ok(())
}
