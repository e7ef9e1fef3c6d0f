//! Options of the local system.

use std::path::PathBuf;

/// Times of the simulated cloud and settings of the programs.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Time to create an agent pool, in seconds.
    pub create_seconds: f64,
    /// Time to delete an agent pool, in seconds.
    pub delete_seconds: f64,
    /// Pause between listings of agent pools, in seconds.
    pub list_seconds: f64,
    /// First pause after a failure for quota or capacity, in seconds.
    pub capacity_backoff_seconds: f64,
    /// Time within which an unanswered create request may still take effect, in seconds.
    pub create_visibility_timeout_seconds: f64,
    /// Time that a drain evicts pods before it deletes them, in seconds.
    pub drain_timeout_seconds: f64,
    /// Share of the claims, in percent, that may be deleted in ten minutes because of their Nodes.
    pub node_deletion_percent: u8,
    /// Signs of unhealthy Nodes that are replaced, as the flag `--repair-rules` has them.
    pub repair_rules: &'static str,
    /// More flags of the provisioner.
    pub provisioner_flags: &'static [&'static str],
    /// Requests a second that the provisioner allows itself; the cloud's real limits where `None`.
    pub unlimited_requests: bool,
    /// `RUST_LOG`-like filter of the programs.
    pub log_filter: String,
    /// Duration of leases, in seconds.
    pub lease_seconds: u32,
    /// Time without an answer to a watch after which a program is not healthy, in seconds.
    pub watch_silence_seconds: u32,
    /// Most agent pools that the simulated cloud allows; AKS allows 100.
    pub max_pools: usize,
    /// Publish the catalog, so that `kubectl apply` of an unknown preset is rejected.
    pub publish_catalog: bool,
    /// URL of the registry's model hub; none where `None`.
    pub hub_endpoint: Option<String>,
    /// Directory of presets of the user's own.
    pub presets_dir: Option<PathBuf>,
    /// The administrator's file of instance types, all of which the simulated cloud has.
    pub instance_types: Option<&'static str>,
    /// Lifetime of the registry's own certificates, in seconds.
    pub certificate_lifetime_seconds: u32,
    /// Objects that each controller reconciles concurrently.
    pub concurrency: u16,
    /// The kind of claims of Workspaces: the chart's `nodeProvisioner`, `machine` or `nodeclaim`.
    pub node_provisioner: &'static str,
    /// Group, kind and name of the class of NodeClaims.
    pub node_class: [&'static str; 3],
    /// Flags of the controller and of the registry alike: the settings that change verdicts.
    pub verdict_flags: &'static [&'static str],
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
            drain_timeout_seconds: 600.0,
            // Tests on one cluster must not wait for each other.
            node_deletion_percent: 100,
            repair_rules: "Ready=Unknown:10m",
            provisioner_flags: &[],
            unlimited_requests: true,
            log_filter: "info,kube=warn,typespec_client_core=warn".to_owned(),
            lease_seconds: 15,
            watch_silence_seconds: 360,
            max_pools: 100,
            publish_catalog: false,
            hub_endpoint: None,
            presets_dir: None,
            instance_types: None,
            certificate_lifetime_seconds: 14 * 24 * 60 * 60,
            concurrency: 16,
            node_provisioner: "machine",
            node_class: ["kaito.sh", "KaitoNodeClass", "default"],
            verdict_flags: &[],
        }
    }
}
