//! Options of a cluster. Plain data.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::assets::Tool;

/// The parts of Kubernetes that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tier {
    /// etcd and the API server. Deployments and Jobs are stored and nothing acts on them.
    ControlPlaneOnly,
    /// Also the controllers, the scheduler and simulated nodes.
    WithNodes,
    /// The controllers, the scheduler, DNS and an image registry, for real nodes that [`crate::NodeHost`] boots. Needs root.
    RealNodes,
}

impl Tier {
    /// The programs the tier needs.
    pub const fn tools(self) -> &'static [Tool] {
        match self {
            Self::ControlPlaneOnly => &[Tool::Etcd, Tool::KubeApiserver],
            Self::WithNodes => &[
                Tool::Etcd,
                Tool::KubeApiserver,
                Tool::KubeControllerManager,
                Tool::KubeScheduler,
                Tool::Kwok,
            ],
            Self::RealNodes => &[
                Tool::Etcd,
                Tool::KubeApiserver,
                Tool::KubeControllerManager,
                Tool::KubeScheduler,
                Tool::Kubelet,
                Tool::KubeProxy,
                Tool::Containerd,
                Tool::ContainerdShim,
                Tool::Ctr,
                Tool::CniBridge,
                Tool::CniLoopback,
                Tool::CniHostLocal,
                Tool::Pause,
                Tool::CoreDns,
                Tool::KubeRouter,
            ],
        }
    }
}

/// The end of the cluster's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends with the process that started it, even when that is killed.
    Owner,
    /// It lives until [`super::Detached::stop`].
    Detached,
}

/// Options of a cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The parts of Kubernetes that run.
    pub tier: Tier,
    /// The directory of all files; it must be absent or empty. A new temporary directory by default.
    pub dir: Option<PathBuf>,
    /// Leave the directory behind when the cluster stops.
    pub keep: bool,
    /// The end of the cluster's life.
    pub lifetime: Lifetime,
    /// Time until a simulated pod is ready.
    pub pod_start: Duration,
    /// Time until a simulated pod of a Job succeeds.
    pub job_duration: Duration,
    /// Time that a node may be silent before its pods count as not ready. Simulated nodes report after five eighths of
    /// it, which is much work if there are many.
    pub node_silence: Duration,
    /// More flags for the API server.
    pub apiserver_args: Vec<String>,
}

impl ClusterOptions {
    /// A cluster of the given tier in a temporary directory that ends with its owner.
    pub fn new(tier: Tier) -> Self {
        Self {
            tier,
            dir: None,
            keep: false,
            lifetime: Lifetime::Owner,
            pod_start: Duration::from_millis(200),
            job_duration: Duration::from_secs(2),
            node_silence: Duration::from_secs(16),
            apiserver_args: Vec::new(),
        }
    }
}
