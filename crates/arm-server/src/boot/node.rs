//! The Node object of a booted machine. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeSpec, Taint};
use kaito_api::labels;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use crate::config::BootMode;
use crate::world::NodePlan;
use crate::world::pool::parse_taint;

/// The Node as a kubelet registers it.
pub(super) fn object(plan: &NodePlan) -> Node {
    let mut labels = labels(plan);
    labels.insert("type".to_owned(), "kwok".to_owned());
    let annotations = BTreeMap::from([(kaito_api::labels::KWOK_NODE.to_owned(), "fake".to_owned())]);
    let taints: Vec<Taint> = plan
        .taints
        .iter()
        .filter_map(|taint| parse_taint(taint))
        .map(to_taint)
        .collect();
    Node {
        metadata: ObjectMeta {
            name: Some(plan.name.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: Some(plan.provider_id.clone()),
            taints: (!taints.is_empty()).then_some(taints),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

fn to_taint((key, value, effect): (&str, &str, &str)) -> Taint {
    Taint {
        key: key.to_owned(),
        value: (!value.is_empty()).then(|| value.to_owned()),
        effect: effect.to_owned(),
        time_added: None,
    }
}

/// The labels of a node of AKS.
pub(super) fn labels(plan: &NodePlan) -> BTreeMap<String, String> {
    let mode = if plan.system { "system" } else { "user" };
    let mut all = plan.labels.clone();
    let own = [
        (labels::AGENT_POOL, plan.pool.as_str()),
        (labels::AKS_AGENT_POOL, &plan.pool),
        ("kubernetes.azure.com/cluster", &plan.cluster),
        ("kubernetes.azure.com/mode", mode),
        ("kubernetes.azure.com/role", "agent"),
        (labels::INSTANCE_TYPE, &plan.vm_size),
        (labels::INSTANCE_TYPE_BETA, &plan.vm_size),
        (labels::OS, "linux"),
        (labels::ARCH, "amd64"),
        ("kubernetes.io/hostname", &plan.name),
        ("topology.kubernetes.io/region", &plan.location),
        (labels::ZONE, &plan.zone),
        ("failure-domain.beta.kubernetes.io/region", &plan.location),
    ];
    all.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    if plan.capacity.gpus > 0 {
        all.insert("kubernetes.azure.com/accelerator".to_owned(), "nvidia".to_owned());
    }
    all
}

/// The status of a new node. With a time it has conditions too; without, KWOK sets them.
pub(super) fn status(plan: &NodePlan, conditions_at: Option<Timestamp>) -> Value {
    let capacity = plan.capacity;
    let mut resources = json!({
        "cpu": capacity.cpus.to_string(),
        "memory": format!("{}Gi", capacity.memory_gib),
        "pods": "110",
        "ephemeral-storage": "128Gi",
    });
    if capacity.gpus > 0 && plan.mode != BootMode::NoGpus {
        resources[labels::NVIDIA_GPU] = json!(capacity.gpus.to_string());
    }
    let mut status = json!({"capacity": resources, "allocatable": resources});
    if let Some(at) = conditions_at {
        status["conditions"] = json!([ready(plan.mode != BootMode::NotReady, at, true)]);
    }
    json!({"status": status})
}

/// Renewal of a Ready node's condition.
pub(super) fn heartbeat(at: Timestamp) -> Value {
    json!({"status": {"conditions": [ready(true, at, false)]}})
}

fn ready(ready: bool, at: Timestamp, changed: bool) -> Value {
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (status, reason) = if ready {
        ("True", "KubeletReady")
    } else {
        ("False", "KubeletNotReady")
    };
    let mut condition = json!({
        "type": "Ready", "status": status, "reason": reason,
        "message": if ready { "kubelet is posting ready status" } else { "container runtime is down" },
        "lastHeartbeatTime": at,
    });
    if changed {
        condition["lastTransitionTime"] = json!(at);
    }
    condition
}

/// The condition by which AKS announces the eviction of a spot machine.
pub(super) fn evicted(at: Timestamp) -> Value {
    let message = at
        .strftime("Preempt Scheduled: %a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({"status": {"conditions": [{
        "type": "VMEventScheduled", "status": "True", "reason": "VMEventScheduled",
        "message": message, "lastHeartbeatTime": at, "lastTransitionTime": at,
    }]}})
}

/// The status of a Node whose kubelet is gone, as the node controller writes it.
pub(super) fn lost(at: Timestamp) -> Value {
    json!({"status": {"conditions": [ready(false, at, true)]}})
}

#[cfg(test)]
pub(super) mod tests;
