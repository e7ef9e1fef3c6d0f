//! Garbage collection by owner references, as kube-controller-manager does it.
//!
//! Owners of kinds outside the model count as existing. A cluster-scoped object cannot have a namespaced owner: the real
//! collector deletes such an object, and so does this one.

use std::collections::BTreeSet;

use plan::{Kind, ObjectRef, Propagation};
use serde_json::Value;

use super::delete::FOREGROUND;
use super::{ApiServer, is_deleting};
use crate::json;

const ACTOR: &str = "garbage-collector";
const MODELLED: [&str; 10] = [
    "Workspace",
    "Machine",
    "NodeClaim",
    "ConfigMap",
    "Service",
    "Deployment",
    "StatefulSet",
    "Job",
    "Node",
    "Pod",
];

impl ApiServer {
    /// Deletes objects that lost their last owner, and returns true if there were any.
    pub fn collect_garbage(&mut self) -> bool {
        let before = self.version;
        let uids: BTreeSet<(Option<String>, String)> = self
            .all()
            .map(|(key, value)| {
                (
                    key.namespace.clone(),
                    json::text(value, &["metadata", "uid"]).to_owned(),
                )
            })
            .collect();
        let lost: Vec<ObjectRef> = self
            .all()
            .filter(|(key, value)| is_orphan(key, value, &uids))
            .map(|(key, _)| key.clone())
            .collect();
        for key in lost {
            let _ = self.delete(ACTOR, &key, None, Propagation::Background, None);
        }
        self.finish_foreground();
        self.version != before
    }

    fn finish_foreground(&mut self) {
        let waiting: Vec<(ObjectRef, String)> = self
            .all()
            .filter(|(_, v)| {
                json::list(v, &["metadata", "finalizers"])
                    .iter()
                    .any(|f| f.as_str() == Some(FOREGROUND))
            })
            .map(|(key, value)| (key.clone(), json::text(value, &["metadata", "uid"]).to_owned()))
            .collect();
        for (key, uid) in waiting {
            let dependents: Vec<ObjectRef> = self
                .all()
                .filter(|(_, v)| is_owned_by(v, &uid))
                .map(|(key, _)| key.clone())
                .collect();
            if dependents.is_empty() {
                let _ = self.set_finalizer(ACTOR, &key, &uid, FOREGROUND, false);
            }
            for dependent in dependents {
                let _ = self.delete(ACTOR, &dependent, None, Propagation::Background, None);
            }
        }
    }
}

/// Returns true if an object has an owner of this UID.
#[must_use]
pub fn is_owned_by(value: &Value, uid: &str) -> bool {
    json::list(value, &["metadata", "ownerReferences"])
        .iter()
        .any(|owner| json::text(owner, &["uid"]) == uid)
}

fn is_orphan(key: &ObjectRef, value: &Value, uids: &BTreeSet<(Option<String>, String)>) -> bool {
    let owners = json::list(value, &["metadata", "ownerReferences"]);
    !owners.is_empty() && !is_deleting(value) && owners.iter().all(|owner| is_gone(key, owner, uids))
}

fn is_gone(key: &ObjectRef, owner: &Value, uids: &BTreeSet<(Option<String>, String)>) -> bool {
    let kind = json::text(owner, &["kind"]);
    if !MODELLED.contains(&kind) {
        return false;
    }
    let cluster_scoped = [Kind::Node, Kind::Machine, Kind::NodeClaim]
        .iter()
        .any(|scoped| kind == scoped.as_str());
    let namespace = if cluster_scoped {
        None
    } else {
        key.namespace.clone()
    };
    !uids.contains(&(namespace, json::text(owner, &["uid"]).to_owned()))
}
