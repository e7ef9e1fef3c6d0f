//! Builds a program statically. Its bytes do not depend on the machine that built it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::repository;

/// The platform of a build.
#[derive(Debug)]
pub(super) struct Target {
    triple: String,
}

impl Target {
    /// The target, once all that it needs is there.
    pub(super) fn new(wished: Option<&str>) -> Result<Self> {
        let ours = || format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let target = Self {
            triple: wished.map_or_else(ours, str::to_owned),
        };
        target.ensure_library()?;
        target.ensure_compiler()?;
        Ok(target)
    }

    #[cfg(test)]
    pub(super) fn named(triple: &str) -> Self {
        Self {
            triple: triple.to_owned(),
        }
    }

    /// Rust's name of the architecture.
    pub(super) fn architecture(&self) -> &str {
        self.triple.split('-').next().unwrap_or_default()
    }

    /// Rust's standard library for the target; asked of rustup if it is missing.
    fn ensure_library(&self) -> Result<()> {
        let output = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", &self.triple])
            .current_dir(repository::root())
            .output()
            .context("failed to run rustc")?;
        let directory = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(output.status.success(), "rustc knows no target {}", self.triple);
        if Path::new(&directory).is_dir() {
            return Ok(());
        }
        let added = Command::new("rustup")
            .args(["target", "add", &self.triple])
            .current_dir(repository::root())
            .status();
        ensure!(
            added.is_ok_and(|status| status.success()),
            "there is no standard library for {0}: rustup target add {0}",
            self.triple
        );
        Ok(())
    }

    /// A C compiler for musl: the cryptography has parts in C.
    fn ensure_compiler(&self) -> Result<()> {
        let variable = format!("CC_{}", self.triple.replace('-', "_"));
        if std::env::var_os(&variable).is_some() || !self.triple.ends_with("musl") {
            return Ok(());
        }
        let wrappers = [
            "musl-gcc".to_owned(),
            format!("{}-linux-musl-gcc", self.architecture()),
        ];
        let runs = |name: &String| {
            let mut version = Command::new(name);
            version
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        };
        if !wrappers.iter().any(runs) {
            bail!(
                "there is no C compiler for {}: apt-get install musl-tools, or set {variable}",
                self.triple
            );
        }
        Ok(())
    }
}

/// Builds one program and gives its path.
///
/// Each is built by itself: built together, packages share the features of all, and a program would depend on
/// what else was asked for.
pub(super) fn program(name: &str, target: &Target, directory: &Path) -> Result<PathBuf> {
    let status = repository::cargo()
        .args([
            "build",
            "--profile",
            "dist",
            "--locked",
            "--package",
            name,
            "--bin",
            name,
        ])
        .args(["--target", &target.triple])
        .env("CARGO_TARGET_DIR", directory)
        .env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .status()
        .context("failed to run cargo")?;
    ensure!(
        status.success(),
        "cargo could not build {name}: it ended with {status}"
    );
    Ok(directory.join(&target.triple).join("dist").join(name))
}

/// Takes the places of this machine out of the program, and its symbols, which are half of its size.
fn flags() -> Result<Vec<String>> {
    let cargo = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()
            .context("there is no home directory")?
            .join(".cargo"),
    };
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    Ok(vec![
        remap(repository::root(), "/kaito"),
        remap(&cargo, "/cargo"),
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Cstrip=symbols".to_owned(),
        "-Clink-arg=-Wl,--build-id=none".to_owned(),
    ])
}
