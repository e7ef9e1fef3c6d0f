//! Pods over time: starting, running, completing, crashing, ending.

use jiff::Timestamp;
use plan::{Kind, ObjectRef, Propagation};
use serde_json::{Value, json};

use super::pod_state::{is_over, is_ready};
use super::{Kubelet, PodPace, events, volumes};
use crate::api_server::{ApiServer, is_deleting, key};
use crate::json;

const ACTOR: &str = "kubelet";
/// Time for which pods stay bound to a lost node before they are deleted.
const TOLERATED: i64 = 300;

impl Kubelet {
    pub(super) fn tick_pods(&mut self, now: Timestamp, api: &mut ApiServer, due: &mut Vec<Timestamp>) {
        let pods: Vec<ObjectRef> = api.list(Kind::Pod).map(|(key, _)| key.clone()).collect();
        for pod in pods {
            let Some(value) = api.get(&pod).cloned() else {
                continue;
            };
            let node = json::text(&value, &["spec", "nodeName"]);
            if !node.is_empty() {
                let alive = self
                    .vms
                    .values()
                    .any(|vm| vm.joined && vm.ended.is_none() && !vm.faults.silent && vm.node_name() == node);
                self.tick_bound(&pod, &value, alive, now, api, due);
            }
        }
    }

    fn tick_bound(
        &mut self,
        pod: &ObjectRef,
        value: &Value,
        alive: bool,
        now: Timestamp,
        api: &mut ApiServer,
        due: &mut Vec<Timestamp>,
    ) {
        let node = api.get(&key(Kind::Node, "", json::text(value, &["spec", "nodeName"])));
        match (node, alive) {
            (None, _) => api.vanish("pod-gc", pod),
            (Some(_), true) if is_deleting(value) => end(&self.pods, pod, value, now, api, due),
            (Some(_), true) => run(&self.pods, pod, value, now, api, due),
            (Some(node), false) => {
                let lost_at = lost_at(node).unwrap_or(now);
                strand(pod, value, lost_at, now, api, due);
            }
        }
    }
}

/// Kind of the object that controls a pod.
#[must_use]
pub(crate) fn owner_kind(pod: &Value) -> &str {
    json::list(pod, &["metadata", "ownerReferences"])
        .first()
        .map_or("", |owner| json::text(owner, &["kind"]))
}

fn end(
    pace: &PodPace,
    pod: &ObjectRef,
    value: &Value,
    now: Timestamp,
    api: &mut ApiServer,
    due: &mut Vec<Timestamp>,
) {
    let since = json::time(value, &["metadata", "deletionTimestamp"]).unwrap_or(now);
    let until = since.saturating_add(pace.stop).unwrap_or(since);
    due.push(until);
    if now >= until {
        api.vanish(ACTOR, pod);
    }
}

fn run(
    pace: &PodPace,
    pod: &ObjectRef,
    value: &Value,
    now: Timestamp,
    api: &mut ApiServer,
    due: &mut Vec<Timestamp>,
) {
    if is_over(value) {
        return;
    }
    let node = json::text(value, &["spec", "nodeName"]);
    let mounts_fail = pace.mounts_fail || volumes::are_lost(api, pod, node);
    if mounts_fail && json::text(value, &["status", "phase"]) == "Pending" {
        due.push(events::mount_failed(pod, value, now, api));
        return;
    }
    let bound = json::time(value, &["status", "startTime"])
        .or_else(|| json::time(value, &["metadata", "creationTimestamp"]))
        .unwrap_or(now);
    let readies = bound.saturating_add(pace.start).unwrap_or(bound);
    let job = owner_kind(value) == "Job";
    let completes = readies.saturating_add(pace.run).unwrap_or(readies);
    due.push(readies);
    if job {
        due.push(completes);
    }
    let status = if now < readies {
        return;
    } else if job && now >= completes {
        over(if pace.fail_jobs { "Failed" } else { "Succeeded" })
    } else if !job && (pace.crash || is_broken(pace, value)) {
        crashing(value)
    } else {
        running(value, readies)
    };
    let _ = api.edit(ACTOR, pod, |value| {
        crate::api_server::fields::merge(value, &json!({ "status": status }))
    });
}

fn is_broken(pace: &PodPace, pod: &Value) -> bool {
    let mut containers = json::list(pod, &["spec", "containers"]).iter();
    let broken = pace.broken_image.as_deref();
    broken.is_some_and(|broken| containers.any(|container| json::text(container, &["image"]) == broken))
}

fn over(phase: &str) -> Value {
    json!({"phase": phase, "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}]})
}

fn running(pod: &Value, since: Timestamp) -> Value {
    let since = json::stamp(since);
    let containers: Vec<Value> = container_names(pod)
        .map(|name| json!({"name": name, "ready": true, "restartCount": 0, "image": "i", "imageID": "i", "state": {"running": {"startedAt": since}}}))
        .collect();
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
    json!({"phase": "Running", "conditions": [ready], "containerStatuses": containers})
}

fn crashing(pod: &Value) -> Value {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting"}});
    let containers: Vec<Value> = container_names(pod)
        .map(|name| json!({"name": name, "ready": false, "restartCount": 5, "image": "i", "imageID": "i", "state": waiting}))
        .collect();
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": containers})
}

fn container_names(pod: &Value) -> impl Iterator<Item = &str> {
    json::list(pod, &["spec", "containers"])
        .iter()
        .map(|container| json::text(container, &["name"]))
}

// The node controller marks pods of a lost node as not ready, and deletes them when their toleration ends.
fn strand(
    pod: &ObjectRef,
    value: &Value,
    lost_at: Timestamp,
    now: Timestamp,
    api: &mut ApiServer,
    due: &mut Vec<Timestamp>,
) {
    if is_ready(value) {
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        let _ = api.edit("node-controller", pod, |value| {
            crate::api_server::fields::merge(value, &status)
        });
    }
    let until = crate::cloud::operations::later(lost_at, TOLERATED);
    due.push(until);
    if now >= until && !is_deleting(value) && owner_kind(value) != "DaemonSet" {
        let _ = api.delete("node-controller", pod, None, Propagation::Background, None);
    }
}

fn lost_at(node: &Value) -> Option<Timestamp> {
    json::list(node, &["status", "conditions"])
        .iter()
        .find(|c| json::text(c, &["type"]) == "Ready")
        .and_then(|c| json::time(c, &["lastTransitionTime"]))
}
