//! Builds a program from its pinned Go module, as `go tool` would. Sums are verified by Go itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::{Tool, cache::Slot};
use crate::progress::Progress;

const NO_GO: &str = "no Go toolchain on PATH: install Go 1.26 or newer, or put the program into the \
                     directory named by KUBEBUILDER_ASSETS";

/// Builds `tool` into the cache.
pub(super) fn build(tool: Tool, progress: &dyn Progress) -> Result<PathBuf> {
    let slot = Slot::builds(tool.module()).context(NO_GO)?;
    let made = slot.get_or_make(tool, progress, |output| {
        progress.say(&format!(
            "building {} {} from its pinned Go module, {} once; cached afterwards",
            tool.name(),
            tool.version().trim_start_matches('v'),
            tool.build_time()
        ));
        let began = Instant::now();
        run(tool, &slot, output)?;
        progress.say(&format!(
            "built {} in {} s",
            tool.name(),
            began.elapsed().as_secs()
        ));
        Ok(true)
    })?;
    made.context("the build gave no program")
}

fn run(tool: Tool, slot: &Slot, output: &Path) -> Result<()> {
    let module_dir = slot.subdirectory("module");
    tool.module()
        .write_to(&module_dir)
        .context("failed to write the Go module")?;
    let log_path = module_dir.join(format!("{}.log", tool.name()));
    let log = File::create(&log_path).with_context(|| format!("failed to create {}", log_path.display()))?;
    let status = Command::new("go")
        .args([
            "build",
            "-mod=readonly",
            "-buildvcs=false",
            "-trimpath",
            "-ldflags",
        ])
        .arg(tool.module().linker_flags())
        .args(tool.module().tags().map(|tags| format!("-tags={tags}")))
        .arg("-o")
        .args([output.as_os_str(), tool.package().as_ref()])
        .current_dir(&module_dir)
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .context(NO_GO)?;
    if !status.success() {
        bail!(
            "go build {} failed ({status}):\n{}",
            tool.package(),
            tail(&log_path)
        );
    }
    Ok(())
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
