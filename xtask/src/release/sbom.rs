//! Lists of the packages that a program is made of (SBOM), in the form of CycloneDX.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::repository;

const TOOL: &str = "cargo-sbom";
const VERSION: &str = "0.10.0";

/// Writes `<program>.cdx.json` to a directory.
pub(super) fn write(program: &str, to: &Path) -> Result<()> {
    let output = Command::new(repository::installed(TOOL, VERSION)?)
        .args([
            "--cargo-package",
            program,
            "--output-format",
            "cyclone_dx_json_1_6",
        ])
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
