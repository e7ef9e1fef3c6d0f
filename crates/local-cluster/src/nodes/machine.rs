//! The claim of one cluster on the machine's addresses, and the bridge. Cleans up after a cluster that crashed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::HOST_ADDRESS;
use crate::process::Roll;
use crate::progress::Progress;

/// Removes what nodes leave. It is also written into the directory of the cluster, for the guard.
pub(crate) const CLEAN_SCRIPT: &str = include_str!("clean.sh");

/// Names the directory of the cluster that has the machine. It vanishes when the machine restarts.
const OWNER: &str = "/run/kaito-real-nodes";

/// The machine, as the cluster that has it sees it.
#[derive(Debug)]
pub(crate) struct Machine {
    cluster: PathBuf,
}

impl Machine {
    /// Takes the machine for the cluster in `cluster`, removes what an earlier one left, and makes the bridge.
    pub(crate) fn claim(cluster: &Path, roll: &Path, progress: &dyn Progress) -> Result<Self> {
        fs::create_dir_all(OWNER).with_context(|| format!("failed to create {OWNER}"))?;
        let lock =
            File::create(Path::new(OWNER).join("lock")).context("failed to create the lock of real nodes")?;
        lock.lock().context("failed to lock real nodes")?;
        if let Some(owner) = owner() {
            ensure!(
                !is_alive(&owner.roll),
                "the cluster in {} has the real nodes of this machine, which has room for one: stop it first",
                owner.cluster.display()
            );
            progress.say(&format!(
                "removing what the cluster in {} left",
                owner.cluster.display()
            ));
        }
        clean("all")?;
        make_bridge()?;
        fs::write(
            owner_file(),
            format!("{}\n{}\n", cluster.display(), roll.display()),
        )
        .context("failed to claim the machine")?;
        Ok(Self {
            cluster: cluster.to_owned(),
        })
    }

    /// Leaves the claim in place beyond this value, for a detached cluster.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    /// Removes all nodes and the bridge, and gives the machine up. The processes of the nodes must be gone.
    pub(crate) fn release(cluster: &Path) -> Result<()> {
        if owner().is_some_and(|owner| owner.cluster == cluster) {
            clean("all")?;
            fs::remove_dir_all(OWNER).with_context(|| format!("failed to remove {OWNER}"))?;
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Explicit releases report their errors; this one is for a cluster that did not come up.
        let _ = Self::release(&self.cluster);
    }
}

/// The cluster that has the machine.
struct Owner {
    cluster: PathBuf,
    roll: PathBuf,
}

fn owner() -> Option<Owner> {
    let text = fs::read_to_string(owner_file()).ok()?;
    let mut lines = text.lines();
    Some(Owner {
        cluster: lines.next()?.into(),
        roll: lines.next()?.into(),
    })
}

fn owner_file() -> PathBuf {
    Path::new(OWNER).join("owner")
}

fn is_alive(roll: &Path) -> bool {
    Roll::members(roll).is_ok_and(|members| members.iter().any(crate::process::Member::alive))
}

/// Runs the script for one node, by its number, or for all.
pub(super) fn clean(which: &str) -> Result<()> {
    let output = Command::new("/bin/sh")
        .args(["-c", CLEAN_SCRIPT, "clean", which])
        .stdin(Stdio::null())
        .output()
        .context("failed to run a shell")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && errors.trim().is_empty(),
        "failed to clean up real nodes: {}",
        errors.trim()
    );
    Ok(())
}

fn make_bridge() -> Result<()> {
    let address = format!("{HOST_ADDRESS}/24");
    for args in [
        &["link", "add", "kaito-br0", "type", "bridge"][..],
        &["addr", "add", &address, "dev", "kaito-br0"],
        &["link", "set", "kaito-br0", "up"],
    ] {
        let output = Command::new("ip")
            .args(args)
            .output()
            .context("failed to run ip")?;
        if !output.status.success() {
            bail!(
                "ip {}: {}",
                args.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}
