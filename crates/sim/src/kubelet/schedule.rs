//! The scheduler: binds pods to nodes by readiness, taints, labels and GPUs. Other resources always fit.

use jiff::Timestamp;
use kaito_api::labels::NVIDIA_GPU;
use plan::{Kind, ObjectRef};
use serde_json::{Value, json};

use super::pod_state::is_over;
use super::volumes;
use crate::api_server::{ApiServer, is_deleting};
use crate::json;

const ACTOR: &str = "scheduler";
const NO_NODES: &str = "0 nodes are available";

/// Binds every pod that fits a node, and marks the others as unschedulable.
pub fn tick(now: Timestamp, api: &mut ApiServer) {
    let waiting: Vec<ObjectRef> = api
        .list(Kind::Pod)
        .filter(|(_, pod)| json::text(pod, &["spec", "nodeName"]).is_empty() && !is_deleting(pod))
        .map(|(key, _)| key.clone())
        .collect();
    for pod in waiting {
        let node = api.get(&pod).and_then(|value| home(api, value));
        let volume = volumes::node(api, &pod);
        let conflict = node.is_some() && volume.is_some() && volume != node;
        let node = node.filter(|_| !conflict);
        let _ = api.edit(ACTOR, &pod, |value| match &node {
            Some(node) => bind(value, node, now),
            None => refuse(value, if conflict { volumes::CONFLICT } else { NO_NODES }),
        });
        if let Some(node) = node {
            volumes::bind(api, &pod, &node);
        }
    }
}

fn home(api: &ApiServer, pod: &Value) -> Option<String> {
    api.list(Kind::Node)
        .find(|(key, node)| fits(api, pod, node, &key.name))
        .map(|(key, _)| key.name.clone())
}

fn fits(api: &ApiServer, pod: &Value, node: &Value, name: &str) -> bool {
    !is_deleting(node) && is_ready(node) && admits(pod, node) && gpus(pod) + used(api, name) <= offered(node)
}

/// Returns true if labels and taints of the Node admit the pod, or pods of the template.
pub fn admits(pod: &Value, node: &Value) -> bool {
    let taints = json::list(node, &["spec", "taints"]);
    taints.iter().all(|taint| is_tolerated(pod, taint)) && selects(pod, node)
}

fn is_ready(node: &Value) -> bool {
    json::list(node, &["status", "conditions"])
        .iter()
        .any(|c| json::text(c, &["type"]) == "Ready" && json::text(c, &["status"]) == "True")
}

fn is_tolerated(pod: &Value, taint: &Value) -> bool {
    let agrees =
        |toleration: &Value, field: &str| json::text(toleration, &[field]) == json::text(taint, &[field]);
    json::text(taint, &["effect"]) == "PreferNoSchedule"
        || json::list(pod, &["spec", "tolerations"]).iter().any(|t| {
            let effect = json::text(t, &["effect"]).is_empty() || agrees(t, "effect");
            let key = json::text(t, &["key"]).is_empty() || agrees(t, "key");
            effect && key && (json::text(t, &["operator"]) == "Exists" || agrees(t, "value"))
        })
}

fn selects(pod: &Value, node: &Value) -> bool {
    let label = |key: &str| json::at(node, &["metadata", "labels", key]).and_then(Value::as_str);
    let plain = json::at(pod, &["spec", "nodeSelector"]).and_then(Value::as_object);
    let required = [
        "spec",
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
    ];
    let terms = json::at(pod, &required).map(|affinity| json::list(affinity, &["nodeSelectorTerms"]));
    plain.is_none_or(|wanted| wanted.iter().all(|(key, value)| label(key) == value.as_str()))
        && terms.is_none_or(|terms| terms.iter().any(|term| term_holds(term, &label)))
}

fn term_holds<'a>(term: &Value, label: &impl Fn(&str) -> Option<&'a str>) -> bool {
    json::list(term, &["matchExpressions"]).iter().all(|expression| {
        let found = label(json::text(expression, &["key"]));
        let listed = found.is_some_and(|v| {
            json::list(expression, &["values"])
                .iter()
                .any(|x| x.as_str() == Some(v))
        });
        match json::text(expression, &["operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            _ => false,
        }
    })
}

fn gpus(pod: &Value) -> i64 {
    json::list(pod, &["spec", "containers"])
        .iter()
        .map(|c| count(c, &["resources", "limits", NVIDIA_GPU]))
        .sum()
}

fn used(api: &ApiServer, node: &str) -> i64 {
    let on_node = |pod: &Value| json::text(pod, &["spec", "nodeName"]) == node && !is_over(pod);
    api.list(Kind::Pod)
        .filter(|(_, pod)| on_node(pod))
        .map(|(_, pod)| gpus(pod))
        .sum()
}

fn offered(node: &Value) -> i64 {
    count(node, &["status", "allocatable", NVIDIA_GPU])
}

fn count(value: &Value, path: &[&str]) -> i64 {
    let found = json::at(value, path);
    found
        .and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok()))
        .unwrap_or(0)
}

fn bind(pod: &mut Value, node: &str, now: Timestamp) {
    json::set(pod, &["spec", "nodeName"], json!(node));
    json::set(pod, &["status", "startTime"], json::stamp(now));
    json::set(
        pod,
        &["status", "conditions"],
        json!([{"type": "PodScheduled", "status": "True"}]),
    );
}

fn refuse(pod: &mut Value, message: &str) {
    let condition = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": message,
    }]);
    json::set(pod, &["status", "conditions"], condition);
}
