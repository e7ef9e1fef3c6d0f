//! Command line of the arm-server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::config::{Behaviour, Config};

/// Plays Azure Resource Manager and its token service for the agent pools of one AKS cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "arm-server", version)]
pub struct Args {
    /// Where to listen; port 0 takes any free one. The address is printed as one line of JSON.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The subscription.
    #[arg(long, default_value = "00000000-0000-0000-0000-000000000001")]
    pub subscription: String,
    /// The resource group.
    #[arg(long, default_value = "kaito-rg")]
    pub resource_group: String,
    /// The managed cluster.
    #[arg(long, default_value = "kaito-aks")]
    pub cluster: String,
    /// The region.
    #[arg(long, default_value = "eastus")]
    pub location: String,
    /// The only tenant that may ask for tokens.
    #[arg(long)]
    pub tenant: Option<String>,
    /// The only client that may ask for tokens.
    #[arg(long)]
    pub client_id: Option<String>,
    /// File whose content a client assertion must equal.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// How long an access token is good, in seconds.
    #[arg(long, default_value_t = 3599)]
    pub token_seconds: u64,
    /// ARM requests need no access token.
    #[arg(long)]
    pub no_auth: bool,
    /// How long a creation takes, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub create_seconds: f64,
    /// How long a change takes, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub update_seconds: f64,
    /// How long a deletion takes, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub delete_seconds: f64,
    /// How much longer than said things may take, in seconds.
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub jitter_seconds: f64,
    /// How long after its pool a Node is deleted, in seconds.
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub node_delete_seconds: f64,
    /// Leave Nodes to others when their pool is deleted.
    #[arg(long)]
    pub leave_nodes: bool,
    /// Enforce the service's request budgets.
    #[arg(long)]
    pub budgets: bool,
    /// How many agent pools a cluster may have; AKS allows 100.
    #[arg(long, default_value_t = Behaviour::default().max_pools)]
    pub max_pools: usize,
    /// Cluster in which Nodes are booted; none are without it.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Make Nodes Ready and keep them so, where no KWOK does it.
    #[arg(long)]
    pub nodes_ready_at_once: bool,
    /// Seed of ids and jitter.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Args {
    /// The configuration.
    #[must_use]
    pub fn config(self) -> Config {
        let behaviour = Behaviour {
            create_ms: millis(self.create_seconds),
            update_ms: millis(self.update_seconds),
            delete_ms: millis(self.delete_seconds),
            jitter_ms: millis(self.jitter_seconds),
            node_delete_ms: millis(self.node_delete_seconds),
            leave_nodes: self.leave_nodes,
            budgets: self.budgets,
            max_pools: self.max_pools,
            ..Behaviour::default()
        };
        Config {
            listen: self.listen,
            subscription: self.subscription,
            resource_group: self.resource_group,
            cluster: self.cluster,
            location: self.location,
            tenant: self.tenant,
            client_id: self.client_id,
            token_file: self.token_file,
            token_seconds: self.token_seconds,
            require_auth: !self.no_auth,
            kubeconfig: self.kubeconfig,
            nodes_ready_at_once: self.nodes_ready_at_once,
            seed: self.seed,
            behaviour,
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("a number of seconds, not below 0, is wanted".to_owned()),
    }
}

fn millis(seconds: f64) -> u64 {
    let duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_fractions() {
        let args = Args::try_parse_from(["arm-server", "--create-seconds", "0.05", "--no-auth"]).unwrap();
        let config = args.config();
        assert_eq!(
            (config.behaviour.create_ms, config.behaviour.delete_ms),
            (50, 1000)
        );
        assert!(!config.require_auth);
        for bad in ["-1", "x", "inf"] {
            assert!(Args::try_parse_from(["arm-server", &format!("--create-seconds={bad}")]).is_err());
        }
    }
}
