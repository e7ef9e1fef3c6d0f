//! The options of a node, and the cluster's facts for all nodes. Plain data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::program;
use crate::assets::{Assets, Tool};

/// A node to boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeOptions {
    /// The name of its Node object.
    pub name: String,
    /// Labels that its kubelet sets. A kubelet may set few labels of `kubernetes.io`.
    pub labels: BTreeMap<String, String>,
    /// Taints from the beginning.
    pub taints: Vec<NodeTaint>,
    /// The name of the machine in its cloud; empty outside one.
    pub provider_id: String,
    /// The program that advertises GPUs; none on a node without GPUs, or whose device plugin is missing.
    pub device_plugin: Option<DevicePlugin>,
}

/// A program that advertises GPUs to the kubelet. It runs on the host, beside the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlugin {
    /// The program `device-plugin`.
    pub program: PathBuf,
    /// GPUs, all of them healthy.
    pub gpus: u32,
}

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeTaint {
    /// The key.
    pub key: String,
    /// The value, which may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// The programs of a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Programs {
    pub(super) containerd: PathBuf,
    pub(super) shim: PathBuf,
    pub(super) ctr: PathBuf,
    pub(super) kubelet: PathBuf,
    pub(super) kube_proxy: PathBuf,
    /// Enforces network policies.
    pub(super) kube_router: PathBuf,
    pub(super) pause: PathBuf,
    pub(super) runc: PathBuf,
    /// The plugins of the network of pods.
    pub(super) network: [PathBuf; 3],
}

impl Programs {
    /// Finds them among the programs of a cluster and on the machine.
    pub(crate) fn of(assets: &Assets) -> Result<Self> {
        let path = |tool: Tool| assets.path(tool).map(Path::to_owned);
        Ok(Self {
            containerd: path(Tool::Containerd)?,
            shim: path(Tool::ContainerdShim)?,
            ctr: path(Tool::Ctr)?,
            kubelet: path(Tool::Kubelet)?,
            kube_proxy: path(Tool::KubeProxy)?,
            kube_router: path(Tool::KubeRouter)?,
            pause: path(Tool::Pause)?,
            runc: program("runc").context("expected runc (Debian package runc)")?,
            network: [
                path(Tool::CniBridge)?,
                path(Tool::CniLoopback)?,
                path(Tool::CniHostLocal)?,
            ],
        })
    }
}

/// Facts about the cluster that each node needs. They lie in the directory of the cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostConfig {
    pub(crate) server: String,
    pub(crate) programs: Programs,
}

impl HostConfig {
    pub(crate) fn write(&self, cluster: &Path) -> Result<()> {
        let nodes = cluster.join("nodes");
        fs::create_dir_all(&nodes).with_context(|| format!("failed to create {}", nodes.display()))?;
        fs::write(nodes.join("host.json"), serde_json::to_string_pretty(self)?)
            .context("failed to write the configuration of nodes")
    }
}
