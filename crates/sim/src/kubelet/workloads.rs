//! The controllers of Deployments, StatefulSets and Jobs: pods from templates, and statuses from pods.

use std::sync::Arc;

use jiff::Timestamp;
use plan::{Kind, ObjectRef, Propagation};
use serde_json::{Value, json};

use super::pod_state::{is_over, is_ready};
use super::{Kubelet, volumes};
use crate::api_server::garbage::is_owned_by;
use crate::api_server::{ApiServer, is_deleting, key};
use crate::json;

const ACTOR: &str = "controller-manager";
const REVISION: &str = "controller-revision-hash";

impl Kubelet {
    pub(super) fn tick_workloads(&mut self, api: &mut ApiServer) {
        for kind in [Kind::Deployment, Kind::StatefulSet, Kind::Job] {
            for (owner, value) in live(api, kind) {
                match kind {
                    Kind::Deployment => self.deployment(&owner, &value, api),
                    Kind::StatefulSet => stateful_set(&owner, &value, api),
                    _ => self.job(&owner, &value, api),
                }
            }
        }
    }

    fn deployment(&mut self, owner: &ObjectRef, value: &Value, api: &mut ApiServer) {
        let revision = revision(value);
        let pods: Vec<_> = pods_of(api, value)
            .into_iter()
            .filter(|(_, pod)| !is_deleting(pod) && !is_over(pod))
            .collect();
        let (current, old): (Vec<_>, Vec<_>) = pods.into_iter().partition(|(_, pod)| is_of(pod, &revision));
        let wanted = replicas(value);
        let recreate = json::text(value, &["spec", "strategy", "type"]) == "Recreate";
        let ready = current.iter().filter(|(_, pod)| is_ready(pod)).count();
        if recreate || ready >= wanted || may_be_unavailable(value) {
            old.iter().for_each(|(pod, _)| delete(api, pod));
        }
        if recreate && !old.is_empty() {
            return;
        }
        current.iter().skip(wanted).for_each(|(pod, _)| delete(api, pod));
        for _ in current.len()..wanted {
            let name = format!("{}-{}-{}", owner.name, &revision[..5], self.fresh_name());
            make(api, owner, value, &name, &revision);
        }
    }

    fn job(&mut self, owner: &ObjectRef, value: &Value, api: &mut ApiServer) {
        let pods = pods_of(api, value);
        let active = pods.iter().filter(|(_, pod)| !is_over(pod)).count();
        let failed = pods
            .iter()
            .filter(|(_, pod)| json::text(pod, &["status", "phase"]) == "Failed")
            .count();
        let over = !json::list(value, &["status", "conditions"]).is_empty();
        let limit = json::number(value, &["spec", "backoffLimit"]).unwrap_or(6);
        let succeeded = pods.len() > active + failed;
        if active == 0 && !succeeded && !over && i64::try_from(failed).unwrap_or(0) <= limit {
            let name = format!("{}-{}", owner.name, self.fresh_name());
            make(api, owner, value, &name, &revision(value));
        }
    }

    pub(super) fn tick_statuses(&mut self, now: Timestamp, api: &mut ApiServer) {
        for kind in [Kind::Deployment, Kind::StatefulSet, Kind::Job] {
            for (owner, value) in live(api, kind) {
                let pods = pods_of(api, &value);
                let status = if kind == Kind::Job {
                    job_status(&value, &pods, now)
                } else {
                    set_status(&value, &pods)
                };
                let _ = api.put_status(ACTOR, &owner, status);
            }
        }
    }
}

fn stateful_set(owner: &ObjectRef, value: &Value, api: &mut ApiServer) {
    let revision = revision(value);
    let wanted = replicas(value);
    let ordered = json::text(value, &["spec", "podManagementPolicy"]) != "Parallel";
    for ordinal in 0..wanted {
        let pod = key(
            Kind::Pod,
            owner.namespace.as_deref().unwrap_or_default(),
            &format!("{}-{ordinal}", owner.name),
        );
        volumes::ensure(api, owner, value, &pod.name);
        match api.get(&pod).cloned() {
            None => make(api, owner, value, &pod.name, &revision),
            Some(found) if !is_deleting(&found) && (!is_of(&found, &revision) || is_over(&found)) => {
                delete(api, &pod)
            }
            Some(_) => {}
        }
        if ordered && !api.get(&pod).is_some_and(|pod| is_ready(pod)) {
            break;
        }
    }
    for (pod, found) in pods_of(api, value) {
        let ordinal = pod
            .name
            .rsplit('-')
            .next()
            .and_then(|text| text.parse::<usize>().ok());
        if ordinal.is_some_and(|ordinal| ordinal >= wanted) && !is_deleting(&found) {
            delete(api, &pod);
        }
    }
}

fn set_status(value: &Value, pods: &[(ObjectRef, Arc<Value>)]) -> Value {
    let revision = revision(value);
    let live: Vec<_> = pods
        .iter()
        .filter(|(_, pod)| !is_deleting(pod) && !is_over(pod))
        .collect();
    let ready = live.iter().filter(|(_, pod)| is_ready(pod)).count();
    let updated = live.iter().filter(|(_, pod)| is_of(pod, &revision)).count();
    json!({
        "observedGeneration": json::number(value, &["metadata", "generation"]),
        "replicas": live.len(), "readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": updated,
    })
}

fn job_status(value: &Value, pods: &[(ObjectRef, Arc<Value>)], now: Timestamp) -> Value {
    let of_phase = |phase: &str| {
        pods.iter()
            .filter(|(_, pod)| json::text(pod, &["status", "phase"]) == phase)
            .count()
    };
    let limit = json::number(value, &["spec", "backoffLimit"]).unwrap_or(6);
    let (succeeded, failed) = (of_phase("Succeeded"), of_phase("Failed"));
    let active = pods.len().saturating_sub(succeeded + failed);
    let ready = pods.iter().filter(|(_, pod)| is_ready(pod)).count();
    let mut status = json!({"active": active, "ready": ready, "succeeded": succeeded, "failed": failed});
    let since = json::at(value, &["status", "startTime"])
        .cloned()
        .unwrap_or_else(|| json::stamp(now));
    json::set(&mut status, &["startTime"], since);
    let conditions = json::list(value, &["status", "conditions"]).to_vec();
    let verdict = if succeeded > 0 {
        Some(("Complete", ""))
    } else if i64::try_from(failed).unwrap_or(0) > limit {
        Some(("Failed", "BackoffLimitExceeded"))
    } else {
        None
    };
    match verdict {
        _ if !conditions.is_empty() => {
            json::set(&mut status, &["conditions"], Value::Array(conditions));
            if let Some(time) = json::at(value, &["status", "completionTime"]) {
                json::set(&mut status, &["completionTime"], time.clone());
            }
        }
        Some((kind, reason)) => {
            let condition = json!([{"type": kind, "status": "True", "reason": reason, "lastTransitionTime": json::stamp(now)}]);
            json::set(&mut status, &["conditions"], condition);
            if kind == "Complete" {
                json::set(&mut status, &["completionTime"], json::stamp(now));
            }
        }
        None => {}
    }
    status
}

fn live(api: &ApiServer, kind: Kind) -> Vec<(ObjectRef, Arc<Value>)> {
    api.list(kind)
        .filter(|(_, v)| !is_deleting(v))
        .map(|(key, value)| (key.clone(), Arc::clone(value)))
        .collect()
}

fn pods_of(api: &ApiServer, owner: &Value) -> Vec<(ObjectRef, Arc<Value>)> {
    let uid = json::text(owner, &["metadata", "uid"]);
    api.list(Kind::Pod)
        .filter(|(_, pod)| is_owned_by(pod, uid))
        .map(|(k, v)| (k.clone(), Arc::clone(v)))
        .collect()
}

fn make(api: &mut ApiServer, owner: &ObjectRef, value: &Value, name: &str, revision: &str) {
    let template = json::at(value, &["spec", "template"])
        .cloned()
        .unwrap_or_default();
    let mut pod = template;
    json::set(&mut pod, &["metadata", "labels", REVISION], json!(revision));
    let reference = json!([{
        "apiVersion": owner.kind.api_version(), "kind": owner.kind.as_str(), "name": owner.name,
        "uid": json::text(value, &["metadata", "uid"]), "controller": true,
    }]);
    json::set(&mut pod, &["metadata", "ownerReferences"], reference);
    json::set(&mut pod, &["status"], json!({"phase": "Pending"}));
    let _ = api.create(
        ACTOR,
        &key(Kind::Pod, owner.namespace.as_deref().unwrap_or_default(), name),
        pod,
    );
}

fn delete(api: &mut ApiServer, pod: &ObjectRef) {
    let _ = api.delete(ACTOR, pod, None, Propagation::Background, None);
}

fn revision(owner: &Value) -> String {
    let mut template = json::at(owner, &["spec", "template"])
        .cloned()
        .unwrap_or_default();
    template.sort_all_objects();
    kaito_api::names::digest(&[&template.to_string()])[..10].to_owned()
}

fn is_of(pod: &Value, revision: &str) -> bool {
    json::text(pod, &["metadata", "labels", REVISION]) == revision
}

fn replicas(owner: &Value) -> usize {
    usize::try_from(json::number(owner, &["spec", "replicas"]).unwrap_or(1)).unwrap_or(0)
}

fn may_be_unavailable(owner: &Value) -> bool {
    match json::at(owner, &["spec", "strategy", "rollingUpdate", "maxUnavailable"]) {
        Some(Value::Number(count)) => count.as_i64() != Some(0),
        Some(Value::String(share)) => share != "0" && share != "0%" && share != "25%",
        _ => false,
    }
}
