//! Lints and renders the Helm chart, once for each example of values beside it.
//!
//! The chart demands values that only a user knows; `charts/kaito/ci/*.yaml` hold examples of them, the
//! place where Helm's own chart tester looks.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use local_cluster::{Assets, Stderr, Tool};

use crate::repository;

pub(super) fn check() -> Result<()> {
    let chart = repository::root().join("charts").join("kaito");
    if !chart.join("Chart.yaml").is_file() {
        println!("there is no chart yet");
        return Ok(());
    }
    let assets = Assets::obtain(&[Tool::Helm], &Stderr)?;
    let helm = assets.path(Tool::Helm)?;
    let examples = examples(&chart.join("ci"))?;
    if examples.is_empty() {
        return lint_and_render(helm, &chart, None);
    }
    examples
        .iter()
        .try_for_each(|values| lint_and_render(helm, &chart, Some(values)))
}

/// The files with values, in order of name.
fn examples(dir: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(Vec::new());
    };
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    Ok(files)
}

fn lint_and_render(helm: &Path, chart: &Path, values: Option<&Path>) -> Result<()> {
    let values = values.map(|file| {
        println!("with {}", repository::shown(file));
        let mut flag = OsString::from("--values=");
        flag.push(file);
        flag
    });
    let run = |args: &[&str], output: Stdio| -> Result<()> {
        let mut command = Command::new(helm);
        command.args(args).arg(chart).args(&values).stdout(output);
        let status = command.status().context("failed to run helm")?;
        ensure!(status.success(), "helm {} ended with {status}", args.join(" "));
        Ok(())
    };
    run(&["lint", "--strict"], Stdio::inherit())?;
    run(&["template", "kaito", "--include-crds"], Stdio::null())
}
