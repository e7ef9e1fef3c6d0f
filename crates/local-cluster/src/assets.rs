//! Finds or makes the programs a cluster consists of. Starts none of them.
//!
//! Each program is looked for in this order:
//! - the directory named by `KUBEBUILDER_ASSETS`,
//! - `PATH`, in the pinned version only,
//! - the cache of earlier runs,
//! - a release mirror, where one is configured,
//! - a build of the Go module whose `go.mod` and `go.sum` are embedded in this crate.

mod cache;
mod go_build;
mod go_toolchain;
mod installed;
mod mirror;
mod module;
mod tool;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::progress::Progress;
use mirror::Mirror;

pub use module::GoModule;
pub use tool::Tool;

/// The path of each requested program.
#[derive(Debug, Clone, Default)]
pub struct Assets {
    paths: BTreeMap<Tool, PathBuf>,
}

impl Assets {
    /// Finds or builds every one of `tools`, which may take minutes the first time.
    ///
    /// # Errors
    /// When a program is nowhere and cannot be made; the error says what to install.
    pub fn obtain(tools: &[Tool], progress: &dyn Progress) -> Result<Self> {
        let mut assets = Self::default();
        for &tool in tools {
            if let Some(path) = ready(tool, progress) {
                assets.paths.insert(tool, path);
            }
        }
        let missing = tools
            .iter()
            .filter(|tool| !assets.paths.contains_key(tool))
            .copied();
        let made = make_all(missing.collect(), progress)?;
        assets.paths.extend(made);
        Ok(assets)
    }

    /// Returns true if every one of `tools` is on this machine already, so that [`Assets::obtain`] is quick.
    pub fn at_hand(tools: &[Tool]) -> bool {
        tools
            .iter()
            .all(|&tool| ready(tool, &crate::progress::Silent).is_some())
    }

    /// The path of one program.
    ///
    /// # Errors
    /// When the program was not requested.
    pub fn path(&self, tool: Tool) -> Result<&Path> {
        self.paths
            .get(&tool)
            .map(PathBuf::as_path)
            .with_context(|| format!("{} was not requested when the assets were obtained", tool.name()))
    }

    /// All programs with their paths.
    pub fn iter(&self) -> impl Iterator<Item = (Tool, &Path)> {
        self.paths.iter().map(|(tool, path)| (*tool, path.as_path()))
    }
}

/// Looks for a program without building it.
fn ready(tool: Tool, progress: &dyn Progress) -> Option<PathBuf> {
    installed::in_assets_dir(tool)
        .or_else(|| installed::on_path(tool, progress))
        .or_else(|| cache::Slot::downloads(tool).and_then(|slot| slot.existing(tool)))
        .or_else(|| cache::Slot::builds(tool.module()).and_then(|slot| slot.existing(tool)))
}

/// Downloads or builds programs into the cache.
fn make_all(tools: Vec<Tool>, progress: &dyn Progress) -> Result<Vec<(Tool, PathBuf)>> {
    let mirror = Mirror::from_environment();
    if !tools.is_empty() && mirror.is_none() {
        progress.say(&format!(
            "no release mirror ({} is not set): building",
            variables::RELEASE_MIRROR
        ));
    }
    let make = |tool: Tool| {
        let path = make(tool, mirror.as_ref(), progress)
            .with_context(|| format!("failed to obtain {} {}", tool.name(), tool.version()))?;
        Ok((tool, path))
    };
    tools.into_iter().map(make).collect()
}

fn make(tool: Tool, mirror: Option<&Mirror>, progress: &dyn Progress) -> Result<PathBuf> {
    if let Some(mirror) = mirror
        && let Some(path) = mirror.fetch(tool, progress)?
    {
        return Ok(path);
    }
    go_build::build(tool, progress)
}
