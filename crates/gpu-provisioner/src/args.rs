//! Command line of the gpu-provisioner. Every flag can also be an environment variable.

use std::time::Duration;

use clap::Parser;
use jiff::SignedDuration;
use nodeclaim_plan::{RepairRules, Settings};
use operator_runtime::ConfigMapName;

use crate::poller::Intervals;
use crate::provider::{ChosenCloud, ProviderArgs};

/// Creates an instance with one Node for every Machine and NodeClaim.
#[derive(Clone, Debug, Parser)]
#[command(name = "gpu-provisioner", version)]
pub struct Args {
    /// The cloud.
    #[command(flatten)]
    pub provider: ProviderArgs,
    /// Interval of listing all instances while one is being created or deleted, in seconds.
    #[arg(long, env = "LIST_INTERVAL_SECONDS", default_value_t = 10.0, value_parser = positive)]
    pub list_interval_seconds: f64,
    /// Interval of listing all instances otherwise, in seconds.
    #[arg(long, env = "IDLE_LIST_INTERVAL_SECONDS", default_value_t = 60.0, value_parser = positive)]
    pub idle_list_interval_seconds: f64,
    /// `KaitoNodeClass` of Machines without the annotation `kaito.sh/node-class`. `default` needs no object.
    #[arg(long, env = "MACHINE_NODE_CLASS", default_value = kaito_api::node_class::DEFAULT)]
    pub machine_node_class: String,
    /// Time that a drain evicts pods before it deletes them, in seconds.
    #[arg(long, env = "DRAIN_TIMEOUT_SECONDS", default_value_t = 600.0, value_parser = positive)]
    pub drain_timeout_seconds: f64,
    /// Time that a create request without a response may take to become visible, in seconds. A claim that is deleted
    /// meanwhile waits as long.
    #[arg(long, env = "CREATE_VISIBILITY_TIMEOUT_SECONDS", default_value_t = 120.0, value_parser = positive)]
    pub create_visibility_timeout_seconds: f64,
    /// First pause after a failed request to the cloud, in seconds; doubled at each failure.
    #[arg(long, env = "BACKOFF_SECONDS", default_value_t = 1.0, value_parser = positive)]
    pub backoff_seconds: f64,
    /// First pause after the cloud had no quota or capacity, in seconds; doubled at each failure.
    #[arg(long, env = "CAPACITY_BACKOFF_SECONDS", default_value_t = 60.0, value_parser = positive)]
    pub capacity_backoff_seconds: f64,
    /// Share of the claims, in percent, whose instances may be deleted within ten minutes because their Nodes were deleted or
    /// are unhealthy. One always may.
    #[arg(long, env = "NODE_DELETION_PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub node_deletion_percent: u8,
    /// ConfigMap that shows the instances of the cloud to people, as NAMESPACE/NAME. It must exist.
    #[arg(long, env = "FLEET_CONFIG_MAP")]
    pub fleet_config_map: Option<ConfigMapName>,
    /// ConfigMap that shows quota and restrictions of the subscription, as NAMESPACE/NAME. It must exist. Without it they are
    /// not read.
    #[arg(long, env = "CAPACITY_CONFIG_MAP")]
    pub capacity_config_map: Option<ConfigMapName>,
    /// Signs of unhealthy Nodes, each with the time after which the Node is replaced, separated by commas. They are
    /// `TYPE=STATUS:TIME` for a condition, `taint/KEY[=VALUE]:TIME` for a taint, and `gpus-lost:TIME`. An empty list replaces
    /// none.
    #[arg(long, env = "REPAIR_RULES", default_value = RepairRules::DEFAULT, value_name = "RULES")]
    pub repair_rules: RepairRules,
    /// Replace nodes whose KaitoNodeClass has changed since they were made, one of a Workspace at a time.
    #[arg(long, env = "REPLACE_DRIFTED_NODES")]
    pub replace_drifted_nodes: bool,
    /// Replace nodes of NodeClaims that are older than their spec.expireAfter, one of a Workspace at a time.
    #[arg(long, env = "REPLACE_EXPIRED_NODES")]
    pub replace_expired_nodes: bool,
    /// Metrics and probes.
    #[command(flatten)]
    pub admin: serve::AdminArgs,
    /// Claims of each kind that are reconciled at the same time.
    #[arg(long, env = "CONCURRENCY", default_value_t = 32)]
    pub concurrency: u16,
    /// The API server.
    #[command(flatten)]
    pub client: operator_runtime::ClientArgs,
    /// Leader election.
    #[command(flatten)]
    pub leader: operator_runtime::LeaderArgs,
    /// Health.
    #[command(flatten)]
    pub health: operator_runtime::HealthArgs,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::TelemetryArgs,
}

impl Args {
    /// Settings of the planner.
    #[must_use]
    pub fn settings(&self, cloud: &ChosenCloud) -> Settings {
        let defaults = Settings::default();
        let pauses = |first: f64, (_, longest): (SignedDuration, SignedDuration)| {
            (seconds(first), longest.max(seconds(first)))
        };
        Settings {
            cluster_id: cloud.cluster_id.clone(),
            place: cloud.place.clone(),
            machine_class: self.machine_node_class.clone(),
            launch_limits: cloud.launch_limits.clone(),
            spot_marks: cloud.spot_marks,
            repair_rules: self.repair_rules.clone(),
            replaces_drifted: self.replace_drifted_nodes,
            replaces_expired: self.replace_expired_nodes,
            // A few listings may fail.
            cloud_silence: seconds(self.idle_list_interval_seconds * 3.0).max(defaults.cloud_silence),
            drain_timeout: seconds(self.drain_timeout_seconds),
            create_visibility_timeout: seconds(self.create_visibility_timeout_seconds),
            backoff: pauses(self.backoff_seconds, defaults.backoff),
            capacity_backoff: pauses(self.capacity_backoff_seconds, defaults.capacity_backoff),
            node_deletion_percent: self.node_deletion_percent,
            poll: seconds(self.list_interval_seconds),
            ..defaults
        }
    }

    /// Intervals of listing all instances.
    pub(crate) fn intervals(&self) -> Intervals {
        Intervals {
            busy: Duration::from_secs_f64(self.list_interval_seconds),
            idle: Duration::from_secs_f64(self.idle_list_interval_seconds),
        }
    }
}

fn seconds(seconds: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::MAX)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("expected a number of seconds above 0".to_owned()),
    }
}
