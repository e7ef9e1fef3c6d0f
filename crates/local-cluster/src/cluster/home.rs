//! The directory of a cluster: what lies where, its creation and its removal.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Tier;

/// Facts about a detached cluster, for later commands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HomeState {
    pub(super) server: String,
    pub(super) tier: Tier,
}

/// The directory of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Home {
    dir: PathBuf,
}

impl Home {
    /// Creates the directory, a temporary one unless `dir` is given.
    pub(super) fn create(dir: Option<&Path>) -> Result<Self> {
        let home = match dir {
            Some(dir) => Self::create_at(dir)?,
            None => Self {
                dir: tempfile::Builder::new()
                    .prefix("kaito-cluster-")
                    .tempdir()?
                    .keep(),
            },
        };
        for dir in [
            home.logs(),
            home.pki(),
            home.dir.join("audit"),
            home.dir.join("kubeconfigs"),
        ] {
            fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
        }
        Ok(home)
    }

    fn create_at(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
        // All programs get absolute paths: their working directory is not ours.
        let dir = dir.canonicalize()?;
        // The directory is removed at the end, so it must hold nothing of anybody else's.
        ensure!(
            fs::read_dir(&dir)?.next().is_none(),
            "{} is not empty",
            dir.display()
        );
        Ok(Self { dir })
    }

    /// The directory of a cluster that was started earlier; none if there is no cluster in `dir`.
    pub(super) fn existing(dir: &Path) -> Option<Self> {
        let home = Self {
            dir: dir.canonicalize().ok()?,
        };
        home.roll().is_dir().then_some(home)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn roll(&self) -> PathBuf {
        self.dir.join("roll")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(super) fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    pub(super) fn etcd(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    pub(super) fn registry(&self) -> PathBuf {
        self.dir.join("registry")
    }

    pub(super) fn dns(&self) -> PathBuf {
        self.dir.join("Corefile")
    }

    /// The script by which the guard removes what nodes leave.
    pub(super) fn clean_script(&self) -> PathBuf {
        self.dir.join("clean.sh")
    }

    pub(super) fn stages(&self) -> PathBuf {
        self.dir.join("stages.yaml")
    }

    pub(super) fn audit_policy(&self) -> PathBuf {
        self.dir.join("audit").join("policy.yaml")
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.dir.join("audit").join("audit.log")
    }

    pub(super) fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(super) fn kubeconfig_of(&self, name: &str) -> PathBuf {
        self.dir.join("kubeconfigs").join(format!("{name}.kubeconfig"))
    }

    fn state_file(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }

    pub(super) fn write_state(&self, tier: Tier, server: &str) -> Result<()> {
        let state = HomeState {
            server: server.to_owned(),
            tier,
        };
        fs::write(self.state_file(), serde_json::to_string_pretty(&state)?)
            .context("failed to write the state file")
    }

    pub(super) fn read_state(&self) -> Option<HomeState> {
        serde_json::from_slice(&fs::read(self.state_file()).ok()?).ok()
    }

    /// Removes what a failed attempt left and the next one must not find.
    pub(super) fn forget_attempt(&self) -> Result<()> {
        for dir in [self.etcd(), self.logs()] {
            if dir.exists() {
                fs::remove_dir_all(&dir).with_context(|| format!("failed to remove {}", dir.display()))?;
            }
        }
        fs::create_dir_all(self.logs()).context("failed to create the log directory")
    }

    /// Removes the directory. A file may still appear while the last program dies, hence the retries.
    pub(super) fn remove(&self) {
        for _ in 0..20 {
            if fs::remove_dir_all(&self.dir).is_ok() || !self.dir.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_elses_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        assert!(Home::create(Some(dir.path())).is_err());
        assert!(dir.path().join("thesis.tex").exists());
    }

    #[test]
    fn state_survives_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(Some(&dir.path().join("cluster"))).unwrap();
        home.write_state(Tier::WithNodes, "https://127.0.0.1:1").unwrap();
        let state = home.read_state().unwrap();
        assert_eq!(state.tier, Tier::WithNodes);
        assert_eq!(state.server, "https://127.0.0.1:1");
    }
}
