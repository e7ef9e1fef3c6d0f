//! Time and cost until the controllers have made N Workspaces ready, beside a bare writer of the same objects in the
//! same run.
//!
//! Nodes join at once, so that what is measured is the control plane. Prints figures and ratios; judges nothing.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod process;
mod report;
mod steady;
mod table;
mod times;
mod watch;
mod workspace;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _};
use kaito_api::Workspace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use local_cluster::{ClusterOptions, Tier};
use testkit::{Stack, StackOptions, TestEnv};

use crate::report::{Books, Figures};
use crate::times::Times;
use crate::workspace::workspace;

/// Measures the controllers on a control plane of their own.
#[derive(Debug, Parser)]
struct Args {
    /// Number of Workspaces.
    #[arg(long, default_value_t = 100)]
    workspaces: usize,
    /// Time limit of the run, in minutes.
    #[arg(long, default_value_t = 15)]
    minutes: u64,
    /// Time until a node of the simulated cloud joins, in seconds.
    #[arg(long, default_value_t = 0.0)]
    join_seconds: f64,
    /// Time in which the cost of doing nothing is measured, in seconds.
    #[arg(long, default_value_t = 30)]
    idle_seconds: u64,
    /// File for the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Files of earlier runs: prints the table of the documentation that they make, and measures nothing.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "json")]
    table: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if !args.table.is_empty() {
        print!("{}", table::of(&args.table)?);
        return Ok(());
    }
    let limit = Duration::from_secs(args.minutes * 60);
    let env = TestEnv::start(ClusterOptions {
        // A thousand nodes that report every ten seconds are a load of their own, and the pods of those that come late count as not ready.
        node_silence: Duration::from_secs(600),
        ..ClusterOptions::new(Tier::WithNodes)
    })
    .await?;
    let client = env.client().await?;
    println!(
        "{} Workspaces of one GPU node each, nodes join after {} s",
        args.workspaces, args.join_seconds
    );
    let figures = measure(&env, &client, &args, limit).await?;
    let (times, bare) = (figures.controllers, figures.bare_writer);
    println!(
        "controllers : bare writer    claims {:.2} x ({:.1} s with Workspaces and finalizers), ready {:.2} x",
        times.claims / bare.workspaces_and_claims,
        bare.workspaces_and_claims,
        times.ready / bare.ready
    );
    if let Some(path) = &args.json {
        steady::save(&figures, path)?;
    }
    Ok(())
}

async fn measure(env: &TestEnv, client: &Client, args: &Args, limit: Duration) -> Result<Figures> {
    let count = args.workspaces;
    let options = StackOptions {
        create_seconds: args.join_seconds,
        delete_seconds: 0.0,
        list_seconds: 1.0,
        // More than the real service allows, so that the controllers are the limit.
        max_pools: count + 1,
        log_filter: "warn".to_owned(),
        ..StackOptions::default()
    };
    let mut stack = Stack::start(env, options).await?;
    let books = Books::open(env)?;
    let controllers = controllers(&mut stack, client, count, limit).await?;
    report::times("controllers", controllers, count);
    let cost = books.close(env, &stack, count)?;
    cost.print();
    let idle = steady::idle(env, &stack, Duration::from_secs(args.idle_seconds)).await?;
    idle.iter().for_each(report::Idle::print);
    let restart = steady::restart(env, &mut stack, count).await?;
    restart.iter().for_each(report::Restart::print);
    steady::stop(&mut stack).await?;
    let bare_writer = bare::write(client, count, limit).await?;
    let times = Times {
        claims: bare_writer.claims,
        ready: bare_writer.ready,
    };
    report::times("bare writer", times, count);
    Ok(Figures {
        workspaces: count,
        join_seconds: args.join_seconds,
        controllers,
        bare_writer,
        cost,
        idle,
        restart,
    })
}

async fn controllers(stack: &mut Stack, client: &Client, count: usize, limit: Duration) -> Result<Times> {
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
        Err(error) = watch_programs(stack) => return Err(error),
    };
    Ok(Times { claims, ready })
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
                let object = Patch::Apply(workspace(&name));
                api.patch(&name, &PatchParams::apply("bench"), &object)
                    .await
                    .map(drop)
            }
        })
        .buffer_unordered(bare::CONCURRENCY)
        .try_collect::<()>()
        .await?;
    Ok(())
}
