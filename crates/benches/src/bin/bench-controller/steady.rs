//! The time after a run: nothing changes, and then our programs are started again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use testkit::{Running, Stack, TestEnv};

use crate::process::Usage;
use crate::report::{Idle, PROGRAMS, Restart, own};

const LIMIT: Duration = Duration::from_secs(120);
/// Time in which the last conditions and labels are written.
const SETTLE: Duration = Duration::from_secs(15);
/// Time after a restart in which late writes are counted.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// The cost of `duration` in which nothing changes.
pub(crate) async fn idle(env: &TestEnv, stack: &Stack, duration: Duration) -> Result<Vec<Idle>> {
    tokio::time::sleep(SETTLE).await;
    let mark = env.audit().mark()?;
    let pids = [stack.controller.pid(), stack.provisioner.pid()];
    let before = pids.map(Usage::of);
    tokio::time::sleep(duration).await;
    let entries = env.audit().entries_since(mark)?;
    let programs = PROGRAMS.into_iter().zip(pids).zip(before);
    let idle = programs.map(|((name, pid), before)| {
        let after = Usage::of(pid)?;
        let seconds = after.cpu_seconds - before?.cpu_seconds;
        Ok(Idle {
            name: name.to_owned(),
            millicores: 1000.0 * seconds / duration.as_secs_f64(),
            writes: own(&entries, name).count(),
            rss_mb: after.rss_mb,
        })
    });
    idle.collect()
}

/// Starts each of our programs again, and measures until it has reconciled everything.
pub(crate) async fn restart(env: &TestEnv, stack: &mut Stack, count: usize) -> Result<Vec<Restart>> {
    let programs = stack.programs.clone();
    let start = |name: &str| match name {
        "workspace-controller" => programs.start_controller(env),
        _ => programs.start_provisioner(env),
    };
    let mut all = Vec::new();
    for (name, metrics) in PROGRAMS.into_iter().zip(["controller", "provisioner"]) {
        let running = slot(stack, name);
        running.terminate()?;
        running.wait(LIMIT).await?;
        let mark = env.audit().mark()?;
        let started = Instant::now();
        *running = start(name)?;
        let url = programs.metrics_url(metrics);
        let reconciled = async || {
            let text = reqwest::get(&url).await?.text().await?;
            let seen = sum(&text, "kaito_reconcile_total{");
            ensure!(
                seen >= count as f64 && sum(&text, "kaito_queue_depth{") == 0.0,
                "{seen} reconciles of {count}"
            );
            Ok(())
        };
        env.eventually("every object to be reconciled", LIMIT, reconciled)
            .await?;
        let steady = started.elapsed().as_secs_f64();
        tokio::time::sleep(AFTERWARDS).await;
        all.push(Restart {
            name: name.to_owned(),
            steady,
            writes: own(&env.audit().entries_since(mark)?, name).count(),
            peak_rss_mb: Usage::of(slot(stack, name).pid())?.peak_rss_mb,
        });
    }
    Ok(all)
}

/// Stops the controllers before the next objects are written.
pub(crate) async fn stop(stack: &mut Stack) -> Result<()> {
    for name in PROGRAMS {
        let running = slot(stack, name);
        running.terminate()?;
        running.wait(LIMIT).await?;
    }
    Ok(())
}

fn slot<'a>(stack: &'a mut Stack, name: &str) -> &'a mut Running {
    match name {
        "workspace-controller" => &mut stack.controller,
        _ => &mut stack.provisioner,
    }
}

/// The sum of the samples of a metric.
fn sum(text: &str, metric: &str) -> f64 {
    let samples = text.lines().filter(|line| line.starts_with(metric));
    let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

/// Writes the figures as JSON.
pub(crate) fn save(figures: &crate::report::Figures, path: &std::path::Path) -> Result<()> {
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(path, text + "\n").with_context(|| format!("failed to write {}", path.display()))
}
