//! Command line of the gpu-provisioner; every flag can also be an environment variable.

use clap::Parser;
use jiff::SignedDuration;
use nodeclaim_plan::Settings;

/// Answers Machines and NodeClaims with AKS agent pools of one node.
#[derive(Clone, Debug, Parser)]
#[command(name = "gpu-provisioner", version)]
pub struct Args {
    /// The cloud.
    #[command(flatten)]
    pub azure: cloudprovider_azure::AzureArgs,
    /// Pause between listings of all pools while something is under way, in seconds.
    #[arg(long, env = "LIST_INTERVAL_SECONDS", default_value_t = 10.0, value_parser = positive)]
    pub list_interval_seconds: f64,
    /// Pause between listings when nothing is under way, in seconds.
    #[arg(long, env = "IDLE_LIST_INTERVAL_SECONDS", default_value_t = 60.0, value_parser = positive)]
    pub idle_list_interval_seconds: f64,
    /// How long a drain may take before pods are deleted rather than evicted, in seconds.
    #[arg(long, env = "DRAIN_TIMEOUT_SECONDS", default_value_t = 600.0, value_parser = positive)]
    pub drain_timeout_seconds: f64,
    /// How long a request for a pool that nobody answered may still take effect, in seconds; a claim that is deleted
    /// meanwhile waits as long.
    #[arg(long, env = "LANDING_SECONDS", default_value_t = 120.0, value_parser = positive)]
    pub landing_seconds: f64,
    /// First pause after a failed request to the cloud, in seconds; doubled at each failure.
    #[arg(long, env = "BACKOFF_SECONDS", default_value_t = 1.0, value_parser = positive)]
    pub backoff_seconds: f64,
    /// First pause after the cloud had no quota or capacity, in seconds; doubled at each failure.
    #[arg(long, env = "CAPACITY_BACKOFF_SECONDS", default_value_t = 60.0, value_parser = positive)]
    pub capacity_backoff_seconds: f64,
    /// Metrics and probes.
    #[command(flatten)]
    pub admin: serve::AdminArgs,
    /// How many claims of each kind are reconciled at once.
    #[arg(long, env = "CONCURRENCY", default_value_t = 32)]
    pub concurrency: u16,
    /// How the API server is reached.
    #[command(flatten)]
    pub client: operator_runtime::ClientArgs,
    /// Leader election.
    #[command(flatten)]
    pub leader: operator_runtime::LeaderArgs,
    /// Logs, traces.
    #[command(flatten)]
    pub telemetry: telemetry::TelemetryArgs,
}

impl Args {
    /// The planner's settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let defaults = Settings::default();
        Settings {
            cluster_id: self.azure.cluster_id(),
            launch_limits: cloudprovider_azure::AzureProvider::launch_limits(),
            drain_timeout: seconds(self.drain_timeout_seconds),
            create_visibility_timeout: seconds(self.landing_seconds),
            backoff: (
                seconds(self.backoff_seconds),
                defaults.backoff.1.max(seconds(self.backoff_seconds)),
            ),
            capacity_backoff: (
                seconds(self.capacity_backoff_seconds),
                defaults
                    .capacity_backoff
                    .1
                    .max(seconds(self.capacity_backoff_seconds)),
            ),
            poll: seconds(self.list_interval_seconds),
            ..defaults
        }
    }
}

fn seconds(seconds: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::MAX)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("a number of seconds above 0 is wanted".to_owned()),
    }
}
