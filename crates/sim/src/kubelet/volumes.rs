//! Volumes of StatefulSets: a claim for each pod, bound to the disk of the node that its first pod got.

use plan::{Kind, ObjectRef};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, key};
use crate::json;

const ACTOR: &str = "controller-manager";
const SELECTED_NODE: &str = kaito_api::labels::SELECTED_NODE;
/// Words of the scheduler about a volume on another node.
pub(super) const CONFLICT: &str = "0/1 nodes are available: 1 node(s) had volume node affinity conflict.";

/// Makes the claims of a pod, unless they are there.
pub(super) fn ensure(api: &mut ApiServer, set: &ObjectRef, value: &Value, pod: &str) {
    let namespace = set.namespace.as_deref().unwrap_or_default();
    for template in json::list(value, &["spec", "volumeClaimTemplates"]) {
        let name = format!("{}-{pod}", json::text(template, &["metadata", "name"]));
        let claim = key(Kind::PersistentVolumeClaim, namespace, &name);
        if api.get(&claim).is_some() {
            continue;
        }
        let reference = json!([{
            "apiVersion": set.kind.api_version(), "kind": set.kind.as_str(), "name": set.name,
            "uid": json::text(value, &["metadata", "uid"]), "controller": true,
        }]);
        let object = json!({
            "metadata": {"labels": json::at(template, &["metadata", "labels"]), "ownerReferences": reference},
            "spec": json::at(template, &["spec"]), "status": {"phase": "Pending"},
        });
        let _ = api.create(ACTOR, &claim, object);
    }
}

/// Node that has the volumes of a pod; `None` if it has none, or they are not bound yet.
pub(super) fn node(api: &ApiServer, pod: &ObjectRef) -> Option<String> {
    let node = |claim: &Value| json::text(claim, &["metadata", "annotations", SELECTED_NODE]).to_owned();
    of(api, pod)
        .iter()
        .filter_map(|claim| api.get(claim).map(|claim| node(claim)))
        .find(|node| !node.is_empty())
}

/// Returns true if a volume of the pod was on the disk of an earlier node of the name.
pub(super) fn are_lost(api: &ApiServer, pod: &ObjectRef, node: &str) -> bool {
    let disk = disk(api, node);
    let mut claims = of(api, pod).into_iter().filter_map(|claim| api.get(&claim));
    claims.any(|claim| json::text(claim, &["spec", "volumeName"]) != disk)
}

/// Name of the disk of a node.
fn disk(api: &ApiServer, node: &str) -> String {
    let node = api.get(&key(Kind::Node, "", node));
    let uid = node.map_or("", |node| json::text(node, &["metadata", "uid"]));
    format!("disk-{uid}")
}

/// Binds the volumes of a pod to the disk of its node, unless they are bound.
pub(super) fn bind(api: &mut ApiServer, pod: &ObjectRef, node: &str) {
    let disk = disk(api, node);
    for claim in of(api, pod) {
        let _ = api.edit("scheduler", &claim, |value| {
            if json::text(value, &["status", "phase"]) == "Bound" {
                return;
            }
            json::set(value, &["metadata", "annotations", SELECTED_NODE], json!(node));
            json::set(value, &["spec", "volumeName"], json!(disk));
            json::set(value, &["status"], json!({"phase": "Bound"}));
        });
    }
}

fn of(api: &ApiServer, pod: &ObjectRef) -> Vec<ObjectRef> {
    let end = format!("-{}", pod.name);
    let is_of = |claim: &&ObjectRef| claim.namespace == pod.namespace && claim.name.ends_with(&end);
    let claims = api.list(Kind::PersistentVolumeClaim).map(|(claim, _)| claim);
    claims.filter(is_of).cloned().collect()
}
