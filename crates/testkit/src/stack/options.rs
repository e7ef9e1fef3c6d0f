//! How the local system behaves.

/// Times of the played cloud and settings of the programs.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// How long an agent pool takes to be made, in seconds.
    pub create_seconds: f64,
    /// How long an agent pool takes to be deleted, in seconds.
    pub delete_seconds: f64,
    /// Pause between listings of agent pools, in seconds.
    pub list_seconds: f64,
    /// First pause after the cloud refused for quota or capacity, in seconds.
    pub capacity_backoff_seconds: f64,
    /// How long an unanswered request for a pool may still take effect, in seconds.
    pub create_visibility_timeout_seconds: f64,
    /// Requests a second that the provisioner allows itself; the cloud's real limits where `None`.
    pub unlimited_requests: bool,
    /// `RUST_LOG`-like filter of the programs.
    pub log_filter: String,
    /// How long a leader that has fallen silent is waited for, in seconds.
    pub lease_seconds: u32,
    /// How many agent pools the played cloud allows; AKS allows 100.
    pub max_pools: usize,
    /// Whether the registry publishes its catalog, so that `kubectl apply` of an unknown preset is refused.
    pub publish_catalog: bool,
    /// How many objects each controller reconciles at once.
    pub concurrency: u16,
    /// What Workspaces ask for nodes by: the chart's `nodeProvisioner`, `machine` or `nodeclaim`.
    pub node_provisioner: &'static str,
    /// Group, kind and name of the class of NodeClaims.
    pub node_class: [&'static str; 3],
}

impl Default for StackOptions {
    /// Quick enough for tests: everything the cloud does takes a fraction of a second.
    fn default() -> Self {
        Self {
            create_seconds: 0.3,
            delete_seconds: 0.2,
            list_seconds: 0.2,
            capacity_backoff_seconds: 0.5,
            create_visibility_timeout_seconds: 5.0,
            unlimited_requests: true,
            log_filter: "info,kube=warn,typespec_client_core=warn".to_owned(),
            lease_seconds: 15,
            max_pools: 100,
            publish_catalog: false,
            concurrency: 16,
            node_provisioner: "machine",
            node_class: ["kaito.sh", "KaitoNodeClass", "default"],
        }
    }
}
