//! Objects that tests begin with, as the API server would show them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::{Claim, ClaimKind, Machine, NodeClaim, names};
use preset_catalog::{Catalog, Preset};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) const NAME: &str = "w";
pub(crate) const UID: &str = "uid-of-w";
pub(crate) const A100: &str = "Standard_NC24ads_A100_v4";

pub(crate) fn t(seconds: i64) -> Timestamp {
    "2026-01-05T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) fn parse<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn preset(name: &str) -> Arc<Preset> {
    Arc::new(Catalog::embedded().unwrap().find(name).unwrap().clone())
}

fn workspace(parts: Value) -> Value {
    let mut value = json!({
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {
            "name": NAME, "namespace": "default", "uid": UID, "generation": 1, "resourceVersion": "5",
            "creationTimestamp": t(-60).to_string(),
            "finalizers": ["workspace.finalizer.kaito.sh"],
        },
        "resource": {"count": 1, "instanceType": A100, "labelSelector": {"matchLabels": {"apps": "w"}}},
    });
    value
        .as_object_mut()
        .unwrap()
        .extend(parts.as_object().unwrap().clone());
    value
}

pub(crate) fn inference(preset: &str) -> Value {
    let is_gated = Catalog::embedded()
        .unwrap()
        .find(preset)
        .is_some_and(|preset| preset.gated);
    let options = is_gated.then(|| json!({"modelAccessSecret": "hub"}));
    workspace(
        json!({"inference": {"preset": {"name": preset, "presetOptions": options.unwrap_or(json!({}))}}}),
    )
}

pub(crate) fn template(container: Value) -> Value {
    workspace(json!({"inference": {"template": {"spec": {"containers": [container]}}}}))
}

pub(crate) fn tuning() -> Value {
    workspace(json!({"tuning": {
        "preset": {"name": "phi-3-mini-4k-instruct"},
        "method": "qlora",
        "input": {"urls": ["https://example.com/data.parquet"]},
        "output": {"image": "example.com/adapter:1", "imagePushSecret": "push"},
    }}))
}

/// Name of the claim of one ordinal.
pub(crate) fn claim_name(ordinal: u32) -> String {
    names::claim("default", NAME, UID, ordinal)
}

pub(crate) fn node_of(machine: &str) -> String {
    format!("aks-{machine}-1-vmss000000")
}

/// A Machine of the Workspace whose `Ready` and first unfinished step have this reason; ready without one.
pub(crate) fn machine(ordinal: u32, stuck: Option<(&str, &str)>) -> Machine {
    let name = claim_name(ordinal);
    let condition = |kind: &str, good: bool| match stuck {
        Some((reason, message)) if !good => {
            json!({"type": kind, "status": "False", "reason": reason, "message": message})
        }
        _ => json!({"type": kind, "status": "True"}),
    };
    let good = stuck.is_none();
    parse(json!({
        "apiVersion": "karpenter.sh/v1alpha5",
        "kind": "Machine",
        "metadata": {
            "name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "7",
            "creationTimestamp": t(-50).to_string(),
            "labels": {
                "kaito.sh/workspace": NAME, "kaito.sh/workspacenamespace": "default",
                "kaito.sh/workspace-uid": UID, "kaito.sh/ordinal": ordinal.to_string(),
            },
        },
        "spec": {},
        "status": {
            "nodeName": if good { node_of(&name) } else { String::new() },
            "conditions": [
                condition("MachineLaunched", good), condition("MachineRegistered", good),
                condition("MachineInitialized", good), condition("Ready", good),
            ],
        },
    }))
}

/// The same as a NodeClaim, whose unfinished steps are unknown.
pub(crate) fn node_claim(ordinal: u32, stuck: Option<(&str, &str)>) -> NodeClaim {
    let mut value = serde_json::to_value(machine(ordinal, stuck)).unwrap();
    value["apiVersion"] = "karpenter.sh/v1".into();
    value["kind"] = "NodeClaim".into();
    value["metadata"]["uid"] = format!("uid-of-the-claim-{}", claim_name(ordinal)).into();
    value["spec"] = json!({
        "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
        "requirements": [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["old"]}],
        "expireAfter": "Never",
    });
    for condition in value["status"]["conditions"].as_array_mut().unwrap() {
        let type_ = condition["type"].as_str().unwrap().replace("Machine", "");
        condition["type"] = type_.into();
        condition["lastTransitionTime"] = t(-50).to_string().into();
        if condition["status"] == "False" {
            condition["status"] = "Unknown".into();
        }
    }
    parse(value)
}

/// A claim of this kind.
pub(crate) fn claim(kind: ClaimKind, ordinal: u32, stuck: Option<(&str, &str)>) -> Claim {
    match kind {
        ClaimKind::Machine => machine(ordinal, stuck).into(),
        ClaimKind::NodeClaim => node_claim(ordinal, stuck).into(),
    }
}

/// The metadata of a claim, to change.
pub(crate) fn metadata(claim: &mut Claim) -> &mut ObjectMeta {
    match claim {
        Claim::Machine(machine) => &mut Arc::make_mut(machine).metadata,
        Claim::NodeClaim(claim) => &mut Arc::make_mut(claim).metadata,
    }
}

/// The Node of a Machine.
pub(crate) fn node(machine: &str, ready: bool, gpus: u32) -> Node {
    brought(&node_of(machine), ready, json!({}), gpus)
}

/// A Node with these labels beside the Workspace's selector.
pub(crate) fn brought(name: &str, ready: bool, labels: Value, gpus: u32) -> Node {
    let mut all = json!({"apps": "w"});
    all.as_object_mut()
        .unwrap()
        .extend(labels.as_object().unwrap().clone());
    let ready = if ready { "True" } else { "False" };
    parse(json!({
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "labels": all},
        "status": {
            "allocatable": {"cpu": "24", "nvidia.com/gpu": gpus.to_string()},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }))
}

/// A pod of the Workspace's Deployment with this status.
pub(crate) fn pod(name: &str, status: Value) -> Pod {
    controlled_pod(
        name,
        &json!({"kind": "ReplicaSet", "name": format!("{NAME}-abc"), "uid": "uid-of-its-set"}),
        status,
    )
}

/// A pod of the Workspace's Job with this status.
pub(crate) fn job_pod(name: &str, status: Value) -> Pod {
    controlled_pod(
        name,
        &json!({"kind": "Job", "name": NAME, "uid": format!("uid-of-Job-{NAME}")}),
        status,
    )
}

fn controlled_pod(name: &str, controller: &Value, status: Value) -> Pod {
    let mut owner = json!({"apiVersion": "v1", "controller": true});
    owner
        .as_object_mut()
        .unwrap()
        .extend(controller.as_object().unwrap().clone());
    parse(json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-of-{name}"), "labels": {"kaito.sh/workspace": NAME}, "ownerReferences": [owner]},
        "spec": {"containers": [], "nodeName": "n"},
        "status": status,
    }))
}
