//! Command line of the arm-server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use instance_types::Catalog;

use crate::config::{ArmServerConfig, Behavior};

/// Simulates Azure Resource Manager and its token service for the agent pools of one AKS cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "arm-server", version)]
pub struct Args {
    /// Address to listen on; port 0 takes any free port. The address is printed as one line of JSON.
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
    /// The only tenant that may request tokens.
    #[arg(long)]
    pub tenant: Option<String>,
    /// The only client that may request tokens.
    #[arg(long)]
    pub client_id: Option<String>,
    /// File whose content a client assertion must equal.
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// Lifetime of an access token, in seconds.
    #[arg(long, default_value_t = 3599)]
    pub token_seconds: u64,
    /// Accept ARM requests without an access token.
    #[arg(long)]
    pub no_auth: bool,
    /// Duration of a creation, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub create_seconds: f64,
    /// Duration of a change, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub update_seconds: f64,
    /// Duration of a deletion, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub delete_seconds: f64,
    /// Most jitter that is added to these durations, in seconds.
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub jitter_seconds: f64,
    /// Time from the end of a pool to the deletion of its Node, in seconds.
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub node_delete_seconds: f64,
    /// Do not delete Nodes when their pool is deleted.
    #[arg(long)]
    pub leave_nodes: bool,
    /// Enforce the service's request budgets.
    #[arg(long)]
    pub budgets: bool,
    /// Most agent pools of a cluster; AKS allows 100.
    #[arg(long, default_value_t = Behavior::default().max_pools)]
    pub max_pools: usize,
    /// Kubeconfig of the cluster in which Nodes are booted; without it none are.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Make Nodes Ready and keep them Ready, in clusters without KWOK.
    #[arg(long)]
    pub nodes_ready_at_once: bool,
    /// Directory of a local cluster with real nodes: pools boot such nodes there instead of simulated ones. Needs root.
    #[arg(long, requires = "kubeconfig")]
    pub real_nodes: Option<PathBuf>,
    /// File of further sizes of machines, in the form of the administrator's files of instance types.
    #[arg(long)]
    pub instance_types: Option<PathBuf>,
    /// Seed of ids and jitter.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl Args {
    /// The configuration.
    ///
    /// # Errors
    /// The file of instance types cannot be read or has a problem.
    pub fn config(self) -> Result<ArmServerConfig> {
        let behavior = Behavior {
            create_ms: millis(self.create_seconds),
            update_ms: millis(self.update_seconds),
            delete_ms: millis(self.delete_seconds),
            jitter_ms: millis(self.jitter_seconds),
            node_delete_ms: millis(self.node_delete_seconds),
            leave_nodes: self.leave_nodes,
            budgets: self.budgets,
            max_pools: self.max_pools,
            ..Behavior::default()
        };
        Ok(ArmServerConfig {
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
            real_nodes: self.real_nodes,
            instance_types: types(self.instance_types.as_deref())?,
            seed: self.seed,
            behavior,
        })
    }
}

fn types(file: Option<&Path>) -> Result<Arc<Catalog>> {
    let built_in = Catalog::embedded().map_err(|error| anyhow!("{error}"))?;
    let Some(file) = file else {
        return Ok(Arc::new(built_in.clone()));
    };
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {name}"))?;
    Ok(Arc::new(
        built_in.with_files([(name.as_str(), text.as_str())])?.catalog,
    ))
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
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
        let config = args.config().unwrap();
        assert_eq!((config.behavior.create_ms, config.behavior.delete_ms), (50, 1000));
        assert!(!config.require_auth);
        for bad in ["-1", "x", "inf"] {
            assert!(Args::try_parse_from(["arm-server", &format!("--create-seconds={bad}")]).is_err());
        }
    }
}
