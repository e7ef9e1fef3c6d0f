//! What a cluster is started with. Plain data.

use std::path::PathBuf;
use std::time::Duration;

use crate::assets::Tool;

/// How much of Kubernetes runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// etcd and the API server. Deployments and Jobs are stored and nothing acts on them.
    ControlPlaneOnly,
    /// Also the controllers, the scheduler and simulated nodes.
    WithNodes,
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
        }
    }
}

/// Who ends the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends with the process that started it, even when that is killed.
    Owner,
    /// It lives until [`super::Detached::stop`].
    Detached,
}

/// What a cluster is started with.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How much of Kubernetes runs.
    pub tier: Tier,
    /// Where everything is written; it must be absent or empty. A new temporary directory by default.
    pub dir: Option<PathBuf>,
    /// Leave the directory behind when the cluster stops.
    pub keep: bool,
    /// Who ends the cluster.
    pub lifetime: Lifetime,
    /// How long a simulated pod takes to become ready.
    pub pod_start: Duration,
    /// How long a simulated pod of a Job runs before it succeeds.
    pub job_duration: Duration,
    /// How long a node may be silent before its pods count as not ready. Simulated nodes report when five eighths of it are over, which is
    /// work of its own where they are many.
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
