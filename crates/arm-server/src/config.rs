//! Configuration of the server, and its behavior, which may be changed while it runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use instance_types::Catalog;
use serde::{Deserialize, Serialize};

use crate::errors::Named;

/// Configuration of the server.
#[derive(Clone, Debug)]
pub struct ArmServerConfig {
    /// Address to listen on; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Subscription of the cluster.
    pub subscription: String,
    /// Resource group of the cluster.
    pub resource_group: String,
    /// Name of the managed cluster.
    pub cluster: String,
    /// Region of the cluster.
    pub location: String,
    /// Tenant that may request tokens; `None` accepts any.
    pub tenant: Option<String>,
    /// Client that may request tokens; `None` accepts any.
    pub client_id: Option<String>,
    /// File whose content an assertion must equal; `None` accepts any that is not empty.
    pub token_file: Option<PathBuf>,
    /// Lifetime of an access token, in seconds.
    pub token_seconds: u64,
    /// Require an access token for ARM requests.
    pub require_auth: bool,
    /// Kubeconfig of the cluster in which nodes are booted; `None` boots none.
    pub kubeconfig: Option<PathBuf>,
    /// Make nodes Ready and keep them Ready, in clusters without KWOK.
    pub nodes_ready_at_once: bool,
    /// Directory of a local cluster in which pools boot real nodes.
    pub real_nodes: Option<PathBuf>,
    /// Sizes of machines.
    pub instance_types: Arc<Catalog>,
    /// Seed of ids and jitter.
    pub seed: u64,
    /// Behavior at the start.
    pub behavior: Behavior,
}

impl Default for ArmServerConfig {
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
            real_nodes: None,
            instance_types: Catalog::embedded().cloned().unwrap_or_default().into(),
            seed: 1,
            behavior: Behavior::default(),
        }
    }
}

/// Behavior of the server, read and replaced as a whole under `/_control/behavior`. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behavior {
    /// Duration of a creation.
    pub create_ms: u64,
    /// Duration of a change.
    pub update_ms: u64,
    /// Duration of a deletion.
    pub delete_ms: u64,
    /// Duration of a cancellation.
    pub abort_ms: u64,
    /// Most jitter that is added to each of these, drawn from the seed.
    pub jitter_ms: u64,
    /// Delay until LIST shows new pools and omits deleted ones.
    pub list_lag_ms: u64,
    /// Delay until GET shows a new pool.
    pub get_lag_ms: u64,
    /// Pools in a page of LIST; `None` for all. An empty page always follows.
    pub page_size: Option<usize>,
    /// Most vCPUs by family; a family is named by any of its instance types. Absent families are unlimited.
    pub quota: BTreeMap<String, u32>,
    /// Most vCPUs of all spot pools together, which count in no family; `None` is unlimited.
    pub spot_quota: Option<u32>,
    /// Free machines by size, zone and priority. The first rule whose machines are in use refuses a pool. Offerings
    /// without a rule are unlimited.
    pub offerings: Vec<OfferingRule>,
    /// Report a spent quota while the pool is created, not at once.
    pub quota_async: bool,
    /// Most pools in total.
    pub max_pools: usize,
    /// Accept the deletion of a pool that is being created; otherwise 409.
    pub delete_while_creating: bool,
    /// Respond 404, not 204, to DELETE of an absent pool.
    pub absent_delete_is_404: bool,
    /// Refuse any second write to the cluster, as old service versions do.
    pub one_write_at_a_time: bool,
    /// Enforce the service's request budgets.
    pub budgets: bool,
    /// Time from a PUT to its response.
    pub put_ms: u64,
    /// Pools whose nodes have a pod that a disruption budget holds; `*` matches any characters. A deletion that does not
    /// ignore budgets fails.
    pub held_by_budget: Vec<String>,
    /// Show the reason of a failed pool in its operation only, as older versions of the API do.
    pub hides_failures: bool,
    /// Error that the documents of operations show while they run and after they succeeded.
    pub early_error: Option<Named>,
    /// Time at which the document of an operation shows its end.
    pub end_time: EndTime,
    /// Status of a running operation; `None` means `InProgress`.
    pub running_status: Option<String>,
    /// Rules of booting nodes: the first whose pattern matches the pool.
    pub boot: Vec<BootRule>,
    /// Time from the end of a pool to the deletion of its Node object.
    pub node_delete_ms: u64,
    /// Do not delete Node objects when their pool is deleted.
    pub leave_nodes: bool,
}

impl Default for Behavior {
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
            spot_quota: None,
            offerings: Vec::new(),
            quota_async: false,
            max_pools: 100,
            delete_while_creating: true,
            absent_delete_is_404: false,
            one_write_at_a_time: false,
            budgets: false,
            put_ms: 0,
            held_by_budget: Vec::new(),
            hides_failures: false,
            early_error: None,
            end_time: EndTime::WhenEnded,
            running_status: None,
            boot: Vec::new(),
            node_delete_ms: 0,
            leave_nodes: false,
        }
    }
}

impl Behavior {
    /// A behavior in which everything takes this long, for tests.
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

/// Time at which the document of an operation shows its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndTime {
    /// The time of its end.
    #[default]
    WhenEnded,
    /// From its start on.
    Early,
    /// Never.
    Never,
}

/// Number of machines that exist of some offerings, and the error of pools beyond it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OfferingRule {
    /// Pattern of sizes; `*` matches any characters.
    pub vm_size: String,
    /// Zone, such as `1`; empty for pools without zones, `None` for any pool.
    pub zone: Option<String>,
    /// Spot pools only, or other pools only.
    pub spot: Option<bool>,
    /// Number of machines.
    pub most: u64,
    /// Error of a pool beyond it.
    pub error: Named,
    /// Refuse the request; otherwise the pool fails while it is created.
    pub at_once: bool,
}

impl Default for OfferingRule {
    fn default() -> Self {
        Self {
            vm_size: "*".to_owned(),
            zone: None,
            spot: None,
            most: 0,
            error: Named::Capacity,
            at_once: false,
        }
    }
}

/// A rule of booting nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootRule {
    /// Pattern of pools; `*` matches any characters.
    pub pool: String,
    /// Outcome of their nodes.
    pub mode: BootMode,
    /// Time from the pool's success; negative is before it.
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

/// Outcome of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootMode {
    /// It boots, becomes Ready and has its GPUs.
    #[default]
    Normal,
    /// It never registers.
    Never,
    /// It registers and stays NotReady.
    NotReady,
    /// It becomes Ready without any GPU.
    NoGpus,
}
