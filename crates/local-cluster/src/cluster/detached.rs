//! A cluster that an earlier command started detached: is it there, is it well, stop it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Tier, home::Home, probe::Probe};
use crate::nodes::Machine;
use crate::process::{Member, Roll};

/// A detached cluster, found by its directory.
#[derive(Debug)]
pub struct Detached {
    home: Home,
}

impl Detached {
    /// The cluster in `dir`, running or not; none if no cluster was started there.
    pub fn find(dir: &Path) -> Option<Self> {
        Home::existing(dir).map(|home| Self { home })
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.admin_kubeconfig()
    }

    /// Its processes, the last started first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn members(&self) -> Result<Vec<Member>> {
        Roll::members(&self.home.roll()).context("failed to read which processes belong to the cluster")
    }

    /// Its tier; none if it never came up.
    pub fn tier(&self) -> Option<Tier> {
        Some(self.home.read_state()?.tier)
    }

    /// The address of the API server; none if it never came up.
    pub fn server(&self) -> Option<String> {
        Some(self.home.read_state()?.server)
    }

    /// Asks the API server whether it is ready.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn ready(&self) -> Result<()> {
        let server = self.server().context("the cluster never came up")?;
        let ca = fs::read(self.home.pki().join("ca.crt")).context("no certificate authority")?;
        Probe::trusting(&ca)?
            .ok(&format!("{server}/readyz"), None)
            .map_err(anyhow::Error::msg)
    }

    /// Kills its processes, the last started first, and removes its directory.
    ///
    /// # Errors
    /// When a process cannot be killed; the directory stays then.
    pub fn stop(self) -> Result<()> {
        Roll::kill_all(&self.home.roll()).context("failed to stop the cluster")?;
        Machine::release(self.home.dir())?;
        self.home.remove();
        Ok(())
    }
}
