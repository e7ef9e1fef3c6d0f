//! Time and cost until the controllers have made N Workspaces ready, beside a bare writer of the same objects in the
//! same run.
//!
//! Nodes join at once, so that what is measured is the control plane. Prints figures and ratios; judges nothing.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod process;
mod report;
mod times;
mod watch;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _};
use kaito_api::Workspace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use local_cluster::{ClusterOptions, Tier};
use serde_json::json;
use testkit::{Stack, StackOptions, TestEnv};

use crate::report::Cost;
use crate::times::Times;

/// Measures the controllers on a control plane of their own.
#[derive(Debug, Parser)]
struct Args {
    /// Number of Workspaces.
    #[arg(long, default_value_t = 100)]
    workspaces: usize,
    /// Time limit of the run, in minutes.
    #[arg(long, default_value_t = 15)]
    minutes: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let limit = Duration::from_secs(args.minutes * 60);
    let env = TestEnv::start(ClusterOptions {
        // A thousand nodes that report every ten seconds are a load of their own, and the pods of those that come late count as not ready.
        node_silence: Duration::from_secs(600),
        ..ClusterOptions::new(Tier::WithNodes)
    })
    .await?;
    let client = env.client().await?;
    println!("{} Workspaces of one GPU node each", args.workspaces);
    let times = controllers(&env, &client, args.workspaces, limit).await?;
    let bare = bare::write(&client, args.workspaces, limit).await?;
    report::times("bare writer", bare, args.workspaces);
    println!(
        "controllers : bare writer    claims {:.2} x, ready {:.2} x",
        times.claims / bare.claims,
        times.ready / bare.ready
    );
    Ok(())
}

async fn controllers(env: &TestEnv, client: &Client, count: usize, limit: Duration) -> Result<Times> {
    let options = StackOptions {
        create_seconds: 0.0,
        delete_seconds: 0.0,
        list_seconds: 1.0,
        // More than the real service allows, so that the controllers are the limit.
        max_pools: count + 1,
        log_filter: "warn".to_owned(),
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let cost = Cost::begin(env)?;
    let started = Instant::now();
    let run = async {
        tokio::try_join!(
            create(client, count),
            watch::machines(client, count, started, limit),
            watch::ready(client, count, started, limit),
        )
    };
    let (_, claims, ready) = tokio::select! {
        times = run => times?,
        Err(error) = watch_programs(&mut stack) => return Err(error),
    };
    let times = Times { claims, ready };
    report::times("controllers", times, count);
    cost.report(env, &stack, count)?;
    Ok(times)
}

/// Fails as soon as one of the programs ends, which would never let the Workspaces become ready.
async fn watch_programs(stack: &mut Stack) -> Result<()> {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stack.ensure_running()?;
    }
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
        .buffer_unordered(bare::CONCURRENCY)
        .try_collect::<()>()
        .await?;
    Ok(())
}
