//! Images with weights, and the requests that a start of a model makes.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use local_cluster::nodes::{REGISTRY_ADDRESS, REGISTRY_NAME};
use preset_catalog::Catalog;
use tokio::process::Command;

use crate::{Installation, cloud};

/// Requests of a pod and its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests of the node to the registry of the cluster.
    pub to_registry: usize,
    /// Requests of the pod to the hub.
    pub to_hub: usize,
}

impl Installation {
    /// Makes an image of the hub's model in the cluster's registry, as a user does. Returns its name for nodes, by digest.
    ///
    /// # Errors
    /// When a program fails.
    pub async fn push_weights(&self, repository: &str, scratch: &Path) -> Result<String> {
        let catalog = Catalog::embedded()?;
        let preset = catalog.find(cloud::MODEL).context("the model has no preset")?;
        let commit = preset.revision.as_deref().context("the preset has no commit")?;
        let directory = scratch.join("weights").display().to_string();
        artifact(&[
            "weights",
            &format!("--to={directory}"),
            &format!("--hub-endpoint={}", self.hub_url),
            &format!("--model={}", cloud::MODEL),
            &format!("--revision={commit}"),
        ])
        .await?;
        let pushed = artifact(&[
            "push-weights",
            &format!("--from={directory}"),
            &format!("--plain-http={REGISTRY_ADDRESS}"),
            &format!("{REGISTRY_ADDRESS}/{repository}:v1"),
        ])
        .await?;
        let digest = pushed.rsplit_once("@sha256:").context("no digest was printed")?.1;
        Ok(format!("{REGISTRY_NAME}/{repository}@sha256:{}", digest.trim()))
    }

    /// Requests of a pod's node to the registry of the cluster, and of the pod to the hub, so far.
    ///
    /// # Errors
    /// When the pod has no address yet, or the registry's log cannot be read.
    pub fn requests(&self, pod: &Pod) -> Result<Requests> {
        let status = pod.status.as_ref().context("the pod has no status")?;
        let ip = |ip: &Option<String>| ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        let (node, pod) = ip(&status.host_ip)
            .zip(ip(&status.pod_ip))
            .context("the pod has no addresses")?;
        let log = std::fs::read_to_string(self.env.cluster().logs().join("registry.log"))?;
        // The log has the format of Apache: a line begins with the client.
        let client = |line: &str| line.split(' ').next()?.parse::<IpAddr>().ok();
        Ok(Requests {
            to_registry: log
                .lines()
                .filter_map(client)
                .filter(|client| *client == node)
                .count(),
            to_hub: self.hub_clients.requests(pod),
        })
    }
}

/// Runs our program on this machine, and returns what it said.
async fn artifact(arguments: &[&str]) -> Result<String> {
    let output = Command::new(testkit::program_path("artifact")?)
        .args(arguments)
        .env("NO_PROXY", "*")
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "artifact {arguments:?}: {said}");
    Ok(said)
}
