//! Boots and kills the nodes of a cluster, from any process that knows the directory of the cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::directory::{MOST_NODES, NodeDirectory};
use super::options::{DevicePlugin, HostConfig, NodeOptions};
use super::{files, machine};
use crate::process::{Attachment, ProcessSpec, Roll};

const BOOT: &str = concat!(include_str!("groups.sh"), include_str!("boot.sh"));

/// Time that a shell needs to start on a busy machine.
const SIGN_IN_LIMIT: Duration = Duration::from_secs(10);

/// The machine as the place of a cluster's nodes. Nodes outlive this value; they end with the cluster.
#[derive(Debug)]
pub struct NodeHost {
    cluster: PathBuf,
    config: HostConfig,
}

impl NodeHost {
    /// The host of the cluster in this directory.
    ///
    /// # Errors
    /// When there is no cluster with real nodes.
    pub fn open(cluster: &Path) -> Result<Self> {
        let file = cluster.join("nodes").join("host.json");
        let text = fs::read(&file).with_context(|| {
            format!(
                "{} must be the directory of a cluster with real nodes",
                cluster.display()
            )
        })?;
        Ok(Self {
            cluster: cluster.to_owned(),
            config: serde_json::from_slice(&text)
                .with_context(|| format!("failed to parse {}", file.display()))?,
        })
    }

    /// Boots a node. It registers itself when its kubelet is up, about three seconds later. A node of this name that
    /// runs already is left alone.
    ///
    /// # Errors
    /// When its files or its process cannot be made.
    pub fn boot(&self, options: &NodeOptions) -> Result<()> {
        ensure!(
            !options.name.is_empty()
                && options
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'),
            "the name of a node must consist of letters, digits, dots and hyphens: {:?}",
            options.name
        );
        if self.is_running(&options.name)? {
            return Ok(());
        }
        self.remove(&options.name)?;
        let node = NodeDirectory::create(&self.nodes(), &options.name)?;
        files::write(&node, &self.cluster.join("pki"), &self.config, options)?;
        let roll = Roll::open(self.roll())?;
        ProcessSpec::new(member_name(&options.name), "/bin/sh")
            .args(["-c", BOOT, "boot"])
            .args([node.number.to_string(), options.name.clone()])
            .args([node.dir().as_os_str()])
            .args([MOST_NODES.to_string()])
            .start_on(&roll, &self.cluster.join("logs"), Attachment::Detached)?
            .detach();
        self.await_sign_in(&options.name)?;
        match &options.device_plugin {
            Some(plugin) => self.start_device_plugin(&options.name, plugin),
            None => Ok(()),
        }
    }

    /// Starts the device plugin of a node that runs. It replaces one that runs already.
    ///
    /// # Errors
    /// When there is no such node or the program cannot be started.
    pub fn start_device_plugin(&self, name: &str, plugin: &DevicePlugin) -> Result<()> {
        self.stop_device_plugin(name)?;
        self.set_gpus(name, plugin.gpus, plugin.gpus)?;
        let node = self.find(name)?;
        ProcessSpec::new(plugin_name(name), &plugin.program)
            .args(["--directory".into(), node.device_plugins().into_os_string()])
            .args(["--gpus-file".into(), node.gpus_file().into_os_string()])
            .start_on(
                &Roll::open(self.roll())?,
                &self.cluster.join("logs"),
                Attachment::Detached,
            )?
            .detach();
        Ok(())
    }

    /// Ends the device plugin of a node, as a crash does.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn stop_device_plugin(&self, name: &str) -> Result<()> {
        Roll::kill_named(&self.roll(), &plugin_name(name)).context("failed to kill a device plugin")
    }

    /// Lets the device plugin of a node report this many GPUs, of which the first `healthy` work.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn set_gpus(&self, name: &str, total: u32, healthy: u32) -> Result<()> {
        let file = self.find(name)?.gpus_file();
        let temporary = file.with_extension("new");
        fs::write(&temporary, format!("{total} {healthy}\n"))
            .and_then(|()| fs::rename(&temporary, &file))
            .with_context(|| format!("failed to write {}", file.display()))
    }

    fn find(&self, name: &str) -> Result<NodeDirectory> {
        NodeDirectory::find(&self.nodes(), name).with_context(|| format!("expected a node {name}"))
    }

    /// Waits until the process of the node is on the roll, so that it can be killed.
    fn await_sign_in(&self, name: &str) -> Result<()> {
        let deadline = Instant::now() + SIGN_IN_LIMIT;
        while !self.is_running(name)? {
            ensure!(Instant::now() < deadline, "the node {name} did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends every process of a node at once, as a loss of power does. Its Node object stays.
    ///
    /// # Errors
    /// When a process cannot be killed.
    pub fn kill(&self, name: &str) -> Result<()> {
        self.stop_device_plugin(name)?;
        let member = member_name(name);
        Roll::kill_named(&self.roll(), &member).with_context(|| format!("failed to kill the node {name}"))
    }

    /// Kills a node and removes all that it has on this machine. Does nothing if there is no such node.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.kill(name)?;
        let Some(node) = NodeDirectory::find(&self.nodes(), name) else {
            return Ok(());
        };
        machine::clean(&node.number.to_string())?;
        node.remove()
    }

    /// Reports whether the node runs.
    ///
    /// # Errors
    /// When the processes of the cluster cannot be read.
    pub fn is_running(&self, name: &str) -> Result<bool> {
        let member = member_name(name);
        let members = Roll::members(&self.roll()).context("failed to read the processes of the cluster")?;
        Ok(members.iter().any(|found| found.name == member && found.alive()))
    }

    /// The directory of a node: its logs are in `log`. None if there is no such node.
    #[must_use]
    pub fn directory(&self, name: &str) -> Option<PathBuf> {
        Some(NodeDirectory::find(&self.nodes(), name)?.dir().to_owned())
    }

    fn nodes(&self) -> PathBuf {
        self.cluster.join("nodes")
    }

    fn roll(&self) -> PathBuf {
        self.cluster.join("roll")
    }
}

fn plugin_name(node: &str) -> String {
    format!("gpus-{node}")
}

fn member_name(node: &str) -> String {
    format!("node-{node}")
}

#[cfg(test)]
mod tests;
