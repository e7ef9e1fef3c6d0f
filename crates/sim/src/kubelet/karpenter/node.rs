//! The Nodes of its claims: registration, initialization, and the end of both.

use jiff::{SignedDuration, Timestamp};
use kaito_api::labels::{DISRUPTED_TAINT, NVIDIA_GPU, TERMINATION_FINALIZER};
use plan::{Kind, ObjectRef, Propagation};
use serde_json::{Value, json};

use super::super::Kubelet;
use super::super::machines::karpenters_node_name;
use super::super::pods::owner_kind;
use super::{
    ACTOR, REGISTRATION_TIMEOUT, UNREGISTERED, after, is_older, is_true, set_condition, take_back, uid_of,
};
use crate::api_server::{ApiServer, is_deleting, key};
use crate::json;

/// Time that a drain evicts pods before it deletes them.
const GRACE: SignedDuration = SignedDuration::from_mins(10);
/// Pause between two looks at a drain.
const LOOK: SignedDuration = SignedDuration::from_secs(5);

impl Kubelet {
    /// Takes over the Node of a launched claim, or takes the claim back if there is none in time.
    pub(super) fn register(
        &mut self,
        target: &ObjectRef,
        claim: &Value,
        now: Timestamp,
        api: &mut ApiServer,
        due: &mut Vec<Timestamp>,
    ) {
        let node = node_key(target);
        if api.get(&node).is_none_or(|node| is_deleting(node)) || !self.has_machine(target) {
            if is_older(claim, REGISTRATION_TIMEOUT, now, due) || !self.has_machine(target) {
                take_back(target, api);
            }
            return;
        }
        let _ = api.edit(ACTOR, &node, |node| adopt(node, claim));
        let _ = api.edit(ACTOR, target, |claim| {
            json::set(claim, &["status", "nodeName"], json!(node.name));
            set_condition(claim, "Registered", "True", "Registered", "", now);
        });
    }

    /// Initializes a registered Node, and takes the claim back whose machine or Node is gone.
    pub(super) fn watch_over(
        &mut self,
        target: &ObjectRef,
        claim: &Value,
        now: Timestamp,
        api: &mut ApiServer,
    ) {
        let node = node_key(target);
        let Some(node) = api.get(&node).filter(|node| !is_deleting(node)) else {
            return take_back(target, api);
        };
        if !self.has_machine(target) {
            return take_back(target, api);
        }
        let resources = json::at(claim, &["spec", "resources", "requests"]);
        let asks = resources.is_some_and(|requests| requests.get(NVIDIA_GPU).is_some());
        let offers = json::at(node, &["status", "allocatable", NVIDIA_GPU]).is_some();
        if is_true(node, "Ready") && (offers || !asks) && !is_true(claim, "Initialized") {
            let _ = api.edit(ACTOR, target, |claim| {
                set_condition(claim, "Initialized", "True", "Initialized", "", now);
                set_condition(claim, "Ready", "True", "Ready", "", now);
            });
        }
    }

    /// Drains the Node of a deleted claim, ends its machine, and lets Node and claim go.
    pub(super) fn terminate(
        &mut self,
        target: &ObjectRef,
        claim: &Value,
        now: Timestamp,
        api: &mut ApiServer,
        due: &mut Vec<Timestamp>,
    ) {
        let node = node_key(target);
        let since = json::time(claim, &["metadata", "deletionTimestamp"]).unwrap_or(now);
        if self.has_machine(target) && !drain(&node, now >= after(since, GRACE), api) {
            return due.push(after(now, LOOK));
        }
        if let Some(vm) = self.vms.get_mut(&target.name) {
            vm.ended.get_or_insert(now);
        }
        if let Some(uid) = api.get(&node).map(|node| uid_of(node).to_owned()) {
            let _ = api.delete(ACTOR, &node, None, Propagation::Background, None);
            let _ = api.set_finalizer(ACTOR, &node, &uid, TERMINATION_FINALIZER, false);
        }
        if api.get(&node).is_none() && !self.vms.contains_key(&target.name) {
            let _ = api.set_finalizer(ACTOR, target, uid_of(claim), TERMINATION_FINALIZER, false);
        } else {
            due.push(after(now, LOOK));
        }
    }

    fn has_machine(&self, target: &ObjectRef) -> bool {
        self.vms.get(&target.name).is_some_and(|vm| vm.ended.is_none())
    }
}

fn node_key(claim: &ObjectRef) -> ObjectRef {
    key(Kind::Node, "", &karpenters_node_name(&claim.name))
}

/// Gives a Node the labels and taints of its claim, a finalizer, and its owner.
fn adopt(node: &mut Value, claim: &Value) {
    let labels = json::at(claim, &["metadata", "labels"]).and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten() {
        json::set(node, &["metadata", "labels", key], value.clone());
    }
    json::set(
        node,
        &["metadata", "labels", "karpenter.sh/registered"],
        json!("true"),
    );
    let mut taints = json::list(node, &["spec", "taints"]).to_vec();
    taints.retain(|taint| json::text(taint, &["key"]) != UNREGISTERED);
    taints.extend(json::list(claim, &["spec", "taints"]).iter().cloned());
    json::set(node, &["spec", "taints"], Value::Array(taints));
    json::set(node, &["metadata", "finalizers"], json!([TERMINATION_FINALIZER]));
    json::set(
        node,
        &["metadata", "ownerReferences"],
        json!([{
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": json::text(claim, &["metadata", "name"]),
            "uid": uid_of(claim), "blockOwnerDeletion": true,
        }]),
    );
}

/// Evicts the pods of a Node, or deletes them by force. Returns true if none is left.
fn drain(node: &ObjectRef, force: bool, api: &mut ApiServer) -> bool {
    let _ = api.edit(ACTOR, node, |node| {
        let mut taints = json::list(node, &["spec", "taints"]).to_vec();
        if !taints
            .iter()
            .any(|taint| json::text(taint, &["key"]) == DISRUPTED_TAINT)
        {
            taints.push(json!({"key": DISRUPTED_TAINT, "effect": "NoSchedule"}));
            json::set(node, &["spec", "taints"], Value::Array(taints));
        }
    });
    let pods = api.list(Kind::Pod).filter(|(_, pod)| {
        json::text(pod, &["spec", "nodeName"]) == node.name && owner_kind(pod) != "DaemonSet"
    });
    let pods: Vec<(ObjectRef, String)> = pods
        .map(|(key, pod)| (key.clone(), uid_of(pod).to_owned()))
        .collect();
    for (pod, uid) in &pods {
        if force {
            let _ = api.delete(ACTOR, pod, Some(uid), Propagation::Background, Some(0));
        } else {
            let namespace = pod.namespace.as_deref().unwrap_or_default();
            let _ = api.evict(ACTOR, namespace, &pod.name, uid);
        }
    }
    pods.is_empty()
}
