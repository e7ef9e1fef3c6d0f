//! The directory of one node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The most nodes at a time; the network of each knows the pods of all.
pub(super) const MOST_NODES: u8 = 64;

/// The directory of a node. Its name is the number of the node, which decides the addresses.
#[derive(Debug, Clone)]
pub(super) struct NodeDirectory {
    pub(super) number: u8,
    dir: PathBuf,
}

impl NodeDirectory {
    /// Creates the directory with the lowest free number.
    pub(super) fn create(nodes: &Path, name: &str) -> Result<Self> {
        for number in 1..=MOST_NODES {
            let dir = nodes.join(number.to_string());
            match fs::create_dir(&dir) {
                Ok(()) => {
                    let node = Self { number, dir };
                    fs::write(node.name_file(), name).context("failed to write the name of a node")?;
                    for part in ["var-lib/kaito", "log", "run/netns"] {
                        fs::create_dir_all(node.dir.join(part))
                            .context("failed to create a directory of a node")?;
                    }
                    return Ok(node);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("failed to create {}", dir.display()));
                }
            }
        }
        anyhow::bail!("this machine has {MOST_NODES} nodes, and no address for another")
    }

    /// The directory of the node with this name.
    pub(super) fn find(nodes: &Path, name: &str) -> Option<Self> {
        (1..=MOST_NODES)
            .map(|number| Self {
                number,
                dir: nodes.join(number.to_string()),
            })
            .find(|node| fs::read_to_string(node.name_file()).is_ok_and(|text| text == name))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// `/var/lib/kaito` of the node.
    pub(super) fn files(&self) -> PathBuf {
        self.dir.join("var-lib").join("kaito")
    }

    /// The directory of the sockets of device plugins.
    pub(super) fn device_plugins(&self) -> PathBuf {
        self.dir.join("var-lib").join("kubelet").join("device-plugins")
    }

    /// The file with the number of GPUs and of healthy ones.
    pub(super) fn gpus_file(&self) -> PathBuf {
        self.dir.join("gpus")
    }

    /// The address of the node.
    pub(super) fn address(&self) -> String {
        format!("10.224.0.{}", 10 + self.number)
    }

    pub(super) fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.dir).with_context(|| format!("failed to remove {}", self.dir.display()))
    }

    fn name_file(&self) -> PathBuf {
        self.dir.join("name")
    }
}
