//! The table of `docs/performance.md`, made from the figures of runs.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::report::Figures;

/// Returns the table of these runs, one column each.
pub(crate) fn of(files: &[impl AsRef<Path>]) -> Result<String> {
    let runs = files.iter().map(|file| {
        let file = file.as_ref();
        let text = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("failed to read {}", file.display()))
    });
    let runs: Vec<Figures> = runs.collect::<Result<_>>()?;
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut table = line(row("Workspaces", &runs, |run| {
        format!("{}, nodes join after {} s", run.workspaces, run.join_seconds)
    }));
    table += &line(row("---", &runs, |_| "---".to_owned()));
    for (name, cell) in ROWS {
        table += &line(row(name, &runs, cell));
    }
    Ok(table)
}

type Cell = fn(&Figures) -> String;

/// The rows of the table. Where a cell has two figures, they are those of the controller and of the provisioner.
const ROWS: [(&str, Cell); 15] = [
    ("all claims written", |run| seconds(run.controllers.claims)),
    ("all claims, by the bare writer of Workspaces and claims", |run| {
        seconds(run.bare_writer.workspaces_and_claims)
    }),
    ("all ready", |run| seconds(run.controllers.ready)),
    ("all ready, by the bare writer", |run| {
        seconds(run.bare_writer.ready)
    }),
    ("writes a Workspace: controller, provisioner", |run| {
        both(run, |run, n| format!("{:.1}", run.cost.programs[n].writes))
    }),
    ("events a Workspace: controller, provisioner", |run| {
        both(run, |run, n| format!("{:.1}", run.cost.programs[n].events))
    }),
    ("writes a Workspace, all clients", |run| {
        format!("{:.0}", run.cost.writes)
    }),
    ("CPU time a Workspace: controller, provisioner", |run| {
        both(run, |run, n| format!("{:.0} ms", run.cost.programs[n].cpu_ms))
    }),
    (
        "CPU time a Workspace: kube-apiserver, all of the cluster",
        |run| {
            let all = &run.cost.cluster_cpu_ms;
            let server = all.get("kube-apiserver").copied().unwrap_or_default();
            format!("{server:.0} ms, {:.0} ms", all.values().sum::<f64>())
        },
    ),
    ("peak memory: controller, provisioner", |run| {
        both(run, |run, n| {
            format!("{:.0} MB", run.cost.programs[n].peak_rss_mb)
        })
    }),
    ("idle: controller, provisioner", |run| {
        both(run, |run, n| format!("{:.1} millicores", run.idle[n].millicores))
    }),
    ("writes while idle", |run| {
        both(run, |run, n| run.idle[n].writes.to_string())
    }),
    ("steady after a restart: controller, provisioner", |run| {
        both(run, |run, n| seconds(run.restart[n].steady))
    }),
    ("writes after a restart", |run| {
        both(run, |run, n| run.restart[n].writes.to_string())
    }),
    ("peak memory after a restart", |run| {
        both(run, |run, n| format!("{:.0} MB", run.restart[n].peak_rss_mb))
    }),
];

fn row(name: &str, runs: &[Figures], cell: Cell) -> Vec<String> {
    let cells = runs.iter().map(cell);
    [name.to_owned()].into_iter().chain(cells).collect()
}

fn both(run: &Figures, cell: fn(&Figures, usize) -> String) -> String {
    format!("{}, {}", cell(run, 0), cell(run, 1))
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}
