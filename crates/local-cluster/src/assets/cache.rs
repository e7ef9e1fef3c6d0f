//! The cache of programs, outside `target/`, so that a clean build does not cost ten minutes.
//!
//! A slot is a directory named by what made its contents. Programs appear in it by rename, whole or not
//! at all, and a lock file keeps two processes from making the same one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::go_toolchain;
use super::module::GoModule;
use super::tool::Tool;
use crate::progress::Progress;

/// One directory of the cache.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    dir: PathBuf,
}

impl Slot {
    /// The slot for what `module` builds with the Go toolchain here; none without Go.
    pub(super) fn builds(module: GoModule) -> Option<Self> {
        let key = module.cache_key(go_toolchain::version()?);
        Some(Self {
            dir: root()?.join(key),
        })
    }

    /// The slot for downloaded releases of a tool.
    pub(super) fn downloads(tool: Tool) -> Option<Self> {
        Some(Self::at(&root()?, tool))
    }

    fn at(root: &Path, tool: Tool) -> Self {
        Self {
            dir: root.join(format!("release-{}-{}", tool.name(), tool.version())),
        }
    }

    /// A slot in a directory of the caller's choice.
    #[cfg(test)]
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The program, if it is in the slot.
    pub(super) fn existing(&self, tool: Tool) -> Option<PathBuf> {
        Some(self.program(tool)).filter(|path| path.is_file())
    }

    /// A directory of the slot for the maker's own files.
    pub(super) fn subdirectory(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn program(&self, tool: Tool) -> PathBuf {
        self.dir.join("bin").join(tool.name())
    }

    /// Returns the program, calling `make` with a temporary path if it is not there yet. `make` answers
    /// false when it has nothing to offer.
    pub(super) fn get_or_make(
        &self,
        tool: Tool,
        progress: &dyn Progress,
        make: impl FnOnce(&Path) -> Result<bool>,
    ) -> Result<Option<PathBuf>> {
        let program = self.program(tool);
        let bin = self.dir.join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("failed to create {}", bin.display()))?;
        let _lock = self.lock(progress)?;
        if program.is_file() {
            return Ok(Some(program)); // another process made it while this one waited for the lock
        }
        let temporary = bin.join(format!(".{}.{}", tool.name(), std::process::id()));
        let made = make(&temporary);
        if !matches!(made, Ok(true)) {
            let _ = fs::remove_file(&temporary);
            return made.map(|_| None);
        }
        fs::rename(&temporary, &program).with_context(|| format!("failed to write {}", program.display()))?;
        Ok(Some(program))
    }

    /// Takes the lock of the slot; it is released when the file is closed, also by a crash.
    fn lock(&self, progress: &dyn Progress) -> Result<File> {
        let path = self.dir.join("lock");
        let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        if file.try_lock().is_err() {
            progress.say(&format!(
                "waiting for another process that fills {}",
                self.dir.display()
            ));
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

/// `$XDG_CACHE_HOME` or `~/.cache`, and our name below it.
fn root() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| Path::new(dir).is_absolute())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
    Some(base.join("kaito").join("cluster-tools"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    #[test]
    fn a_failed_make_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot::in_dir(dir.path());
        let result = slot.get_or_make(Tool::Helm, &Silent, |path| {
            fs::write(path, "half")?;
            anyhow::bail!("disk on fire")
        });
        assert!(result.is_err());
        assert_eq!(slot.existing(Tool::Helm), None);
        assert_eq!(fs::read_dir(dir.path().join("bin")).unwrap().count(), 0);
    }

    #[test]
    fn two_makers_make_once() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let slot = Slot::in_dir(dir.path());
                    let path = slot.get_or_make(Tool::Kwok, &Silent, |path| {
                        made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        fs::write(path, "program")?;
                        Ok(true)
                    });
                    assert_eq!(fs::read(path.unwrap().unwrap()).unwrap(), b"program");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
