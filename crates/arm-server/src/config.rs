//! What the server is told at its start, and how it behaves, which may be changed while it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the server is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The subscription it has.
    pub subscription: String,
    /// The resource group it has.
    pub resource_group: String,
    /// The managed cluster it has.
    pub cluster: String,
    /// Region of the cluster.
    pub location: String,
    /// The tenant that may ask for tokens; `None` takes any.
    pub tenant: Option<String>,
    /// The client that may ask for tokens; `None` takes any.
    pub client_id: Option<String>,
    /// File whose content an assertion must equal; `None` takes any that is not empty.
    pub token_file: Option<PathBuf>,
    /// How long an access token is good, in seconds.
    pub token_seconds: u64,
    /// ARM requests need an access token of ours.
    pub require_auth: bool,
    /// Kubernetes cluster in which nodes are booted; `None` boots none.
    pub kubeconfig: Option<PathBuf>,
    /// Booted nodes are made and kept Ready here, because no KWOK does it.
    pub nodes_ready_at_once: bool,
    /// Seed of ids and jitter.
    pub seed: u64,
    /// How it behaves at first.
    pub behaviour: Behaviour,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            subscription: "00000000-0000-0000-0000-000000000001".to_owned(),
            resource_group: "kaito-rg".to_owned(),
            cluster: "kaito-aks".to_owned(),
            location: "eastus".to_owned(),
            tenant: None,
            client_id: None,
            token_file: None,
            token_seconds: 3599,
            require_auth: true,
            kubeconfig: None,
            nodes_ready_at_once: false,
            seed: 1,
            behaviour: Behaviour::default(),
        }
    }
}

/// How the server behaves; read and replaced whole under `/_control/behaviour`. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How long a creation takes.
    pub create_ms: u64,
    /// How long a change takes.
    pub update_ms: u64,
    /// How long a deletion takes.
    pub delete_ms: u64,
    /// How long a cancellation takes.
    pub abort_ms: u64,
    /// Each of these takes up to this much longer, drawn from the seed.
    pub jitter_ms: u64,
    /// LIST shows new pools and forgets deleted ones this much later.
    pub list_lag_ms: u64,
    /// GET shows a new pool this much later.
    pub get_lag_ms: u64,
    /// Pools a page of LIST; `None` for all. An empty page always follows.
    pub page_size: Option<usize>,
    /// How many pools there may be of an instance type; absent types are unlimited.
    pub quota: BTreeMap<String, u32>,
    /// The quota is found to be spent while the pool is made, not at once.
    pub quota_async: bool,
    /// How many pools there may be at all.
    pub max_pools: usize,
    /// A pool that is being made may be deleted; otherwise 409.
    pub delete_while_creating: bool,
    /// DELETE of an absent pool answers 404 and not 204.
    pub absent_delete_is_404: bool,
    /// Any second write to the cluster is refused, as old service versions do.
    pub one_write_at_a_time: bool,
    /// The service's request budgets are enforced.
    pub budgets: bool,
    /// Word of a running operation; `None` says `InProgress`.
    pub running_status: Option<String>,
    /// How nodes boot: the first rule whose pattern fits the pool.
    pub boot: Vec<BootRule>,
    /// How long after its pool a Node object is deleted.
    pub node_delete_ms: u64,
    /// Node objects are left to others when their pool is deleted.
    pub leave_nodes: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            create_ms: 2_000,
            update_ms: 1_000,
            delete_ms: 1_000,
            abort_ms: 500,
            jitter_ms: 0,
            list_lag_ms: 0,
            get_lag_ms: 0,
            page_size: None,
            quota: BTreeMap::new(),
            quota_async: false,
            max_pools: 100,
            delete_while_creating: true,
            absent_delete_is_404: false,
            one_write_at_a_time: false,
            budgets: false,
            running_status: None,
            boot: Vec::new(),
            node_delete_ms: 0,
            leave_nodes: false,
        }
    }
}

impl Behaviour {
    /// Everything takes this long, for tests.
    #[must_use]
    pub fn quick(millis: u64) -> Self {
        Self {
            create_ms: millis,
            update_ms: millis,
            delete_ms: millis,
            abort_ms: millis,
            ..Self::default()
        }
    }
}

/// How the nodes of some pools boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootRule {
    /// Which pools; `*` stands for anything.
    pub pool: String,
    /// What becomes of their nodes.
    pub mode: BootMode,
    /// When, counted from the pool's success; negative is before it.
    pub delay_ms: i64,
}

impl Default for BootRule {
    fn default() -> Self {
        Self {
            pool: "*".to_owned(),
            mode: BootMode::Normal,
            delay_ms: 0,
        }
    }
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootMode {
    /// It boots, gets Ready and has its GPUs.
    #[default]
    Normal,
    /// It never shows up.
    Never,
    /// It shows up and stays NotReady.
    NotReady,
    /// It gets Ready without any GPU.
    NoGpus,
}
