//! The metrics of the programs, as Prometheus reads them. What dashboards and alerts name must exist.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use local_cluster::{ClusterOptions, Tier};
use testkit::{Stack, StackOptions, TestEnv};

use crate::probes::get;
use crate::world::{LIMIT, World};

/// Metrics of the pods of Workspaces begin so. Other tests know those.
const OF_PODS: [&str; 3] = ["vllm:", "kaito_tuning_", "kaito_ratelimit_"];

#[tokio::test]
async fn dashboards_and_alerts_name_metrics_that_exist() -> Result<()> {
    let env: &'static TestEnv = Box::leak(Box::new(
        TestEnv::start(ClusterOptions::new(Tier::WithNodes)).await?,
    ));
    let stack = Stack::start(env, StackOptions::default()).await?;
    let world = World::on(env, &stack.programs).await?;
    let name = world.apply(&world.inference("measured")).await?;
    world.ready(&name).await?;
    let charted: BTreeSet<String> = integration_tests::charted_metrics()
        .into_iter()
        .filter(|name| !OF_PODS.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    ensure!(charted.len() >= 12, "{charted:?}");
    let state = format!(
        r#"kaito_workspace_state{{namespace="{}",workspace="{name}",state="Ready""#,
        world.namespace
    );
    // They show what the controller has read of the Workspace, which may be a moment old.
    let scraped = testkit::eventually("all metrics", LIMIT, async || {
        let mut scraped = String::new();
        for program in ["controller", "provisioner", "registry"] {
            let (status, text) = get(&stack.programs.metrics_url(program)).await?;
            ensure!(status == 200, "{program}: {status}");
            scraped += &text;
        }
        let found = integration_tests::exported_metrics(&scraped);
        let missing: Vec<_> = charted.difference(&found).collect();
        ensure!(missing.is_empty(), "no program has {missing:?}");
        let lines = scraped.lines().filter(|line| line.starts_with(&state));
        ensure!(lines.count() == 1, "{scraped}");
        Ok(scraped)
    })
    .await?;
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = std::fs::read_to_string(page)?;
    let unlisted: Vec<String> = integration_tests::exported_metrics(&scraped)
        .into_iter()
        .filter(|name| name.starts_with("kaito_"))
        .filter(|name| {
            let ends = ["", "_bucket", "_count", "_sum"];
            let bases = ends.iter().filter_map(|end| name.strip_suffix(end));
            !bases.into_iter().any(|base| page.contains(&format!("`{base}`")))
        })
        .collect();
    ensure!(unlisted.is_empty(), "docs/metrics.md lacks {unlisted:?}");
    let price = format!(
        r#"kaito_workspace_usd_per_hour{{namespace="{}",workspace="{name}"}}"#,
        world.namespace
    );
    let price = scraped.lines().find_map(|line| line.strip_prefix(&price));
    let price: f64 = price.context("no price")?.trim().parse()?;
    ensure!(price > 1.0, "{price}");
    Ok(())
}
