//! Nodes over time: joining, readiness, devices, loss, and removal by the cloud's node controller.

use jiff::Timestamp;
use kaito_api::labels::NVIDIA_GPU;
use plan::{Kind, ObjectRef, Propagation};
use serde_json::{Value, json};

use super::machines::{Vm, ready};
use super::{Kubelet, faults};
use crate::api_server::{ApiServer, key};
use crate::cloud::Pace;
use crate::json;

const ACTOR: &str = "kubelet";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

impl Kubelet {
    pub(super) fn tick_nodes(
        &mut self,
        now: Timestamp,
        pace: &Pace,
        api: &mut ApiServer,
        due: &mut Vec<Timestamp>,
    ) {
        for vm in self.vms.values_mut() {
            match vm.ended {
                None => live(vm, now, pace, api, due),
                Some(ended) => lost(vm, ended, now, pace, api, due),
            }
        }
        self.vms.retain(|_, vm| !vm.forgotten);
    }
}

fn live(vm: &mut Vm, now: Timestamp, pace: &Pace, api: &mut ApiServer, due: &mut Vec<Timestamp>) {
    let node = key(Kind::Node, "", &vm.node_name());
    due.push(vm.joins);
    if now < vm.joins {
        return;
    }
    // A kubelet registers once. It takes over an existing Node of its name, even if that is deleted later.
    if !vm.joined {
        vm.joined = true;
        let _ = api.create(ACTOR, &node, vm.node());
        daemon(vm, api);
    }
    let readies = vm.joins.saturating_add(pace.ready).unwrap_or(vm.joins);
    let offers = vm.joins.saturating_add(pace.devices).unwrap_or(vm.joins);
    due.extend([readies, offers]);
    if vm.faults.silent {
        set_ready(api, &node, "Unknown", "NodeStatusUnknown", now);
    } else {
        if now >= readies {
            set_ready(api, &node, "True", "KubeletReady", now);
        }
        if now >= offers && vm.gpus > 0 {
            offer(api, &node, vm.gpus, vm.faults.lost_gpus);
        }
    }
    faults::show(vm, now, api, &node, due);
}

fn lost(
    vm: &mut Vm,
    ended: Timestamp,
    now: Timestamp,
    pace: &Pace,
    api: &mut ApiServer,
    due: &mut Vec<Timestamp>,
) {
    let node = key(Kind::Node, "", &vm.node_name());
    set_ready(api, &node, "Unknown", "NodeStatusUnknown", now);
    let forgets = ended.saturating_add(pace.forget_node).unwrap_or(ended);
    due.push(forgets);
    if now >= forgets {
        vm.forgotten = true;
        let _ = api.delete("node-controller", &node, None, Propagation::Background, None);
    }
}

fn set_ready(api: &mut ApiServer, node: &ObjectRef, status: &str, reason: &str, now: Timestamp) {
    let Some(value) = api.get(node) else { return };
    let is_so = json::list(value, &["status", "conditions"])
        .iter()
        .any(|c| json::text(c, &["type"]) == "Ready" && json::text(c, &["status"]) == status);
    if is_so {
        return;
    }
    let _ = api.edit(ACTOR, node, |value| {
        let mut conditions = json::list(value, &["status", "conditions"]).to_vec();
        conditions.retain(|c| json::text(c, &["type"]) != "Ready");
        conditions.insert(0, ready(status, reason, now));
        json::set(value, &["status", "conditions"], Value::Array(conditions));
        set_taints(value, status == "True");
    });
}

fn set_taints(value: &mut Value, is_ready: bool) {
    let mut taints = json::list(value, &["spec", "taints"]).to_vec();
    taints.retain(|taint| ![NOT_READY, UNREACHABLE].contains(&json::text(taint, &["key"])));
    if !is_ready {
        taints.push(json!({"key": UNREACHABLE, "effect": "NoSchedule"}));
    }
    if taints.is_empty() {
        json::remove(value, &["spec", "taints"]);
    } else {
        json::set(value, &["spec", "taints"], Value::Array(taints));
    }
}

fn offer(api: &mut ApiServer, node: &ObjectRef, gpus: u32, lost: u32) {
    let _ = api.edit(ACTOR, node, |value| {
        json::set(
            value,
            &["status", "capacity", NVIDIA_GPU],
            json!(gpus.to_string()),
        );
        json::set(
            value,
            &["status", "allocatable", NVIDIA_GPU],
            json!(gpus.saturating_sub(lost).to_string()),
        );
    });
}

// Every node runs a pod that tolerates everything: a drain must not wait for it.
fn daemon(vm: &Vm, api: &mut ApiServer) {
    let name = format!("daemon-{}", vm.pool.name);
    let pod = json!({
        "metadata": {"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "daemon", "uid": "uid-daemon", "controller": true},
        ]},
        "spec": {
            "nodeName": vm.node_name(),
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "daemon", "image": "daemon"}],
        },
        "status": {"phase": "Pending"},
    });
    let _ = api.create("daemon-set", &key(Kind::Pod, "kube-system", &name), pod);
}
