//! Paths of this repository, and calls of its cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use local_cluster::{Progress as _, Stderr};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The directories of all packages.
pub(crate) fn packages() -> std::io::Result<Vec<PathBuf>> {
    let crates = std::fs::read_dir(root().join("crates"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let others = ["integration-tests", "xtask"].map(|name| root().join(name));
    let mut packages: Vec<PathBuf> = crates
        .into_iter()
        .chain(others)
        .filter(|dir| dir.join("Cargo.toml").is_file())
        .collect();
    packages.sort();
    Ok(packages)
}

/// The directory of cargo's build results.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The user's cache directory of this project.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME")
        .or_else(|| Some(set("HOME")?.join(".cache")))
        .map(|base| base.join("kaito"))
        .context("expected XDG_CACHE_HOME or HOME to be set")
}

/// A path as a person at the root of the repository would type it.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The Rust sources below a directory, in order of path.
pub(crate) fn rust_files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("failed to read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A program of the package registry, built once and kept in the cache.
pub(crate) fn installed(tool: &str, version: &str) -> anyhow::Result<PathBuf> {
    let root = cache()?.join(format!("{tool}-{version}"));
    let program = root.join("bin").join(tool);
    if program.is_file() {
        return Ok(program);
    }
    Stderr.say(&format!(
        "building {tool} {version}, some minutes once; cached afterwards"
    ));
    let status = cargo()
        .args([
            "install",
            tool,
            "--version",
            version,
            "--locked",
            "--quiet",
            "--root",
        ])
        .arg(&root)
        .status()
        .context("failed to run cargo")?;
    ensure!(
        status.success(),
        "cargo could not install {tool}: it ended with {status}"
    );
    Ok(program)
}

/// Variables that cargo sets for the program that it runs. They must not reach another cargo. Build scripts that watch them
/// (ring's does) would run again, and every package above them would be built again.
const OF_THE_OUTER_CARGO: [&str; 6] = [
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "OUT_DIR",
];

/// Cargo at the root of the repository, as if called from the shell.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let outer = |name: &str| OF_THE_OUTER_CARGO.iter().any(|prefix| name.starts_with(prefix));
        if name.to_str().is_some_and(outer) {
            command.env_remove(&name);
        }
    }
    command
}
