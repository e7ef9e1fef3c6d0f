//! The virtual machines behind pools, and the Node objects that their kubelets register.

use super::machine_faults::MachineFaults;
use cloudprovider::Instance;
use jiff::Timestamp;
use kaito_api::labels;
use serde_json::{Map, Value, json};

/// Begin of the names of Nodes of a Karpenter.
pub(crate) const KARPENTERS_PREFIX: &str = "karpenter-";

/// One virtual machine.
#[derive(Clone, Debug)]
pub struct Vm {
    /// The pool as it was requested.
    pub pool: Instance,
    /// Number of GPUs that its device plugin offers.
    pub gpus: u32,
    /// Time at which its kubelet registers.
    pub joins: Timestamp,
    /// Set once it has registered.
    pub joined: bool,
    /// Time at which it ended.
    pub ended: Option<Timestamp>,
    /// Time at which it will end.
    pub ends: Option<Timestamp>,
    /// Faults that the cloud does not show.
    pub faults: MachineFaults,
    /// Set once the cloud's node controller has removed its Node.
    pub forgotten: bool,
    /// A Karpenter made it, so it belongs to no agent pool.
    pub is_karpenters: bool,
}

impl Vm {
    /// Returns a machine that boots.
    #[must_use]
    pub fn boots(pool: &Instance, gpus: u32, joins: Timestamp) -> Self {
        Self {
            pool: pool.clone(),
            gpus,
            joins,
            joined: false,
            ended: None,
            ends: None,
            faults: MachineFaults::default(),
            forgotten: false,
            is_karpenters: false,
        }
    }

    /// Returns a machine of a Karpenter that boots.
    #[must_use]
    pub(super) fn of_karpenter(pool: &Instance, gpus: u32, joins: Timestamp) -> Self {
        Self {
            is_karpenters: true,
            ..Self::boots(pool, gpus, joins)
        }
    }

    /// Name of its Node; a pool that is created again gets the same.
    #[must_use]
    pub fn node_name(&self) -> String {
        if self.is_karpenters {
            karpenters_node_name(&self.pool.name)
        } else {
            node_name(&self.pool.name)
        }
    }

    /// ID by which Node and claim name it.
    #[must_use]
    pub(super) fn provider_id(&self) -> String {
        if self.is_karpenters {
            format!("karpenter://{}", self.pool.name)
        } else {
            provider_id(&self.pool.name)
        }
    }

    /// Returns the Node as its kubelet registers it.
    #[must_use]
    pub fn node(&self) -> Value {
        let name = self.node_name();
        let mut taints: Vec<Value> = self.pool.taints.iter().filter_map(|text| taint(text)).collect();
        taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
        json!({
            "metadata": {"name": name, "labels": self.labels(&name)},
            "spec": {"providerID": self.provider_id(), "taints": taints},
            "status": {
                "capacity": {"cpu": "24", "memory": "220Gi", "pods": "110"},
                "allocatable": {"cpu": "23", "memory": "200Gi", "pods": "110"},
                "conditions": [ready("False", "KubeletNotReady", self.joins)],
                "futureField": {"kept": true},
            },
        })
    }

    fn labels(&self, name: &str) -> Value {
        let of_pool = [
            (labels::AGENT_POOL, self.pool.name.as_str()),
            (labels::AKS_AGENT_POOL, &self.pool.name),
        ];
        let of_pool = of_pool.into_iter().filter(|_| !self.is_karpenters);
        let own = [
            (
                labels::INSTANCE_TYPE,
                self.pool.instance_type.as_deref().unwrap_or_default(),
            ),
            (labels::OS, "linux"),
            (labels::ARCH, "amd64"),
            ("kubernetes.io/hostname", name),
            ("kubernetes.azure.com/mode", "user"),
        ];
        let mut all: Map<String, Value> = self
            .pool
            .labels
            .iter()
            .map(|(k, v)| (k.clone(), json!(v)))
            .collect();
        all.extend(
            of_pool
                .chain(own)
                .map(|(key, value)| (key.to_owned(), json!(value))),
        );
        Value::Object(all)
    }
}

/// Name of the Node of a pool.
#[must_use]
pub fn node_name(pool: &str) -> String {
    format!("aks-{pool}-10000000-vmss000000")
}

/// Name of the Node of a Karpenter's claim.
#[must_use]
pub(super) fn karpenters_node_name(claim: &str) -> String {
    format!("{}{claim}", KARPENTERS_PREFIX)
}

fn provider_id(pool: &str) -> String {
    format!(
        "azure:///subscriptions/s/resourceGroups/mc_g/providers/Microsoft.Compute/virtualMachineScaleSets/aks-{pool}-10000000-vmss/virtualMachines/0"
    )
}

/// Returns the `Ready` condition of a Node.
#[must_use]
pub fn ready(status: &str, reason: &str, since: Timestamp) -> Value {
    json!({
        "type": "Ready", "status": status, "reason": reason,
        "lastTransitionTime": crate::json::stamp(since), "lastHeartbeatTime": crate::json::stamp(since),
    })
}

fn taint(text: &str) -> Option<Value> {
    let (pair, effect) = text.rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Some(json!({"key": key, "value": value, "effect": effect}))
}
