//! Boots real nodes: a kubelet registers each Node itself, in namespaces of the machine of a local cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use local_cluster::{DevicePlugin, NodeHost, NodeOptions, NodeTaint};

use super::node;
use crate::config::BootMode;
use crate::world::NodePlan;
use crate::world::pool::parse_taint;

/// The machine on which the nodes run.
#[derive(Clone)]
pub(super) struct RealNodes(Arc<NodeHost>);

impl RealNodes {
    /// The machine of the local cluster in this directory.
    pub(super) fn open(cluster: &Path) -> Result<Self> {
        Ok(Self(Arc::new(NodeHost::open(cluster)?)))
    }

    /// Boots a node. Does nothing if it runs.
    pub(super) async fn boot(&self, plan: &NodePlan) -> Result<()> {
        let (host, options) = (self.0.clone(), options(plan));
        tokio::task::spawn_blocking(move || host.boot(&options))
            .await
            .context("booting a node panicked")?
    }

    /// Kills a node and removes it from the machine. Its Node object stays.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let (host, name) = (self.0.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || host.remove(&name))
            .await
            .context("removing a node panicked")?
    }
}

/// The program that advertises GPUs. It is built beside this one.
fn device_plugin(plan: &NodePlan) -> Option<DevicePlugin> {
    let gpus = plan.capacity.gpus;
    if gpus == 0 || plan.mode == BootMode::NoGpus {
        return None;
    }
    let program = std::env::current_exe().ok()?.with_file_name("device-plugin");
    Some(DevicePlugin { program, gpus })
}

/// The node as AKS configures its kubelet.
fn options(plan: &NodePlan) -> NodeOptions {
    NodeOptions {
        name: plan.name.clone(),
        labels: labels(plan),
        taints: plan
            .taints
            .iter()
            .filter_map(|taint| parse_taint(taint))
            .map(|(key, value, effect)| NodeTaint {
                key: key.to_owned(),
                value: value.to_owned(),
                effect: effect.to_owned(),
            })
            .collect(),
        provider_id: plan.provider_id.clone(),
        device_plugin: device_plugin(plan),
    }
}

/// The kubelet sets the labels of its machine itself.
fn labels(plan: &NodePlan) -> BTreeMap<String, String> {
    let mut labels = node::labels(plan);
    for own in ["kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"] {
        labels.remove(own);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_sets_what_aks_puts_there() {
        let plan = node::tests::plan(BootMode::Normal, "Standard_NC12s_v3");
        let options = options(&plan);
        assert_eq!(options.name, plan.name);
        assert!(options.provider_id.starts_with("azure:///subscriptions/"));
        assert_eq!(options.labels["agentpool"], "ws1");
        assert_eq!(
            options.labels["node.kubernetes.io/instance-type"],
            "Standard_NC12s_v3"
        );
        assert!(!options.labels.contains_key("type"), "{:?}", options.labels);
        let taints: Vec<&str> = options.taints.iter().map(|taint| taint.key.as_str()).collect();
        assert_eq!(taints, ["sku", "plain"]);
        assert_eq!(options.device_plugin.unwrap().gpus, 2);
        assert_eq!(
            super::options(&node::tests::plan(BootMode::NoGpus, "Standard_NC12s_v3")).device_plugin,
            None
        );
    }
}
