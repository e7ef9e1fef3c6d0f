//! Lists of the packages that a program is made of (SBOM), in the form of CycloneDX.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use local_cluster::Progress;

use crate::repository;

const TOOL: &str = "cargo-sbom";
const VERSION: &str = "0.10.0";

/// Writes `<program>.cdx.json` to a directory.
pub(super) fn write(program: &str, to: &Path, progress: &dyn Progress) -> Result<()> {
    let output = Command::new(tool(progress)?)
        .args(["--cargo-package", program, "--output-format", "cyclone_dx_json_1_6"])
        .current_dir(repository::root())
        .output()
        .with_context(|| format!("failed to run {TOOL}"))?;
    ensure!(
        output.status.success(),
        "{TOOL} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let file = to.join(format!("{program}.cdx.json"));
    std::fs::write(&file, output.stdout).with_context(|| format!("failed to write {}", file.display()))
}

/// The tool, built once and kept with the programs of the test cluster.
fn tool(progress: &dyn Progress) -> Result<PathBuf> {
    let root = repository::cache()?.join(format!("{TOOL}-{VERSION}"));
    let tool = root.join("bin").join(TOOL);
    if tool.is_file() {
        return Ok(tool);
    }
    progress.say(&format!("building {TOOL} {VERSION}, a minute once; cached afterwards"));
    let status = repository::cargo()
        .args(["install", TOOL, "--version", VERSION, "--locked", "--quiet", "--root"])
        .arg(&root)
        .status()
        .context("failed to run cargo")?;
    ensure!(status.success(), "cargo could not install {TOOL}: it ended with {status}");
    Ok(tool)
}
