//! Events of type `Warning` about pods, workloads and NodeClaims of Workspaces. It selects them, and decides nothing.
//!
//! A cluster has many Events, and tenants can create more. So the server drops the frequent reasons, and the cache takes
//! those that concern a Workspace, stripped, and a limited number in each namespace.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Event, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::{NodeClaim, Workspace, labels};
use kube::ResourceExt as _;
use kube::runtime::watcher;
use operator_runtime::{Cache, Key};
use workspace_plan::Offer;

use crate::launch_backoff::SharedLaunchBackoffs;
use crate::observe::owner_key;
use crate::strip::identity;

/// Most warnings that the cache keeps of one namespace.
pub(crate) const PER_NAMESPACE: usize = 256;
/// Longest text of a warning that is kept, in bytes.
const LONGEST: usize = 1024;
/// Warnings that the server does not send: they are frequent, and the status of a pod reports the same.
const REPORTED_BY_PODS: [&str; 6] = [
    "BackOff",
    "Unhealthy",
    "FailedScheduling",
    "Failed",
    "Evicted",
    "NodeNotReady",
];

/// Returns the selection of Events by the server.
pub(crate) fn selection() -> watcher::Config {
    let mut fields = "type=Warning".to_owned();
    for reason in REPORTED_BY_PODS {
        fields.push_str(",reason!=");
        fields.push_str(reason);
    }
    watcher::Config::default().fields(&fields)
}

/// Strips a warning to its object, reason, text and last time.
pub(crate) fn strip(event: &mut Event) {
    let last = [
        event.series.take().and_then(|series| series.last_observed_time),
        event.event_time.take(),
    ];
    let last = last.into_iter().flatten().map(|time| Time(time.0));
    let last = last.chain(event.last_timestamp.take()).max_by_key(|time| time.0);
    *event = Event {
        metadata: identity(&mut event.metadata),
        involved_object: ObjectReference {
            kind: event.involved_object.kind.take(),
            name: event.involved_object.name.take(),
            uid: event.involved_object.uid.take(),
            ..ObjectReference::default()
        },
        reason: event.reason.take(),
        message: event.message.take().map(|text| plan::text::cut(&text, LONGEST)),
        last_timestamp: last,
        ..Event::default()
    };
}

/// Caches that tell which Workspace a warning concerns.
#[derive(Clone, Debug)]
pub(crate) struct WarningScope {
    pub(crate) workspaces: Cache<Workspace>,
    pub(crate) pods: Cache<Pod>,
    pub(crate) node_claims: Cache<NodeClaim>,
    pub(crate) launch_backoffs: SharedLaunchBackoffs,
}

impl WarningScope {
    /// Returns the offer of the claim that the warning is about; `None` if it is about another object.
    pub(crate) fn offer_of(&self, event: &Event) -> Option<Offer> {
        let about = &event.involved_object;
        let uid = about
            .uid
            .as_deref()
            .filter(|_| about.kind.as_deref() == Some("NodeClaim"))?;
        let claim = self.node_claims.get(&Key::cluster(about.name.as_deref()?));
        let claim = claim.filter(|claim| claim.metadata.uid.as_deref() == Some(uid));
        claim
            .and_then(|claim| Offer::of(&claim.into()))
            .or_else(|| self.launch_backoffs.offer_of(uid))
    }

    /// Returns true if a plan may read the warning.
    pub(crate) fn contains(&self, event: &Event) -> bool {
        let reason = event.reason.as_deref().unwrap_or_default();
        workspace_plan::WARNINGS.contains(&reason) && !self.workspaces_of(event).is_empty()
    }

    /// Returns the existing Workspaces whose pods, workload or claims the warning may be about. Names are enough: the
    /// planner compares UIDs.
    pub(crate) fn workspaces_of(&self, event: &Event) -> BTreeSet<Key> {
        let namespace = event.namespace().unwrap_or_default();
        let name = event.involved_object.name.as_deref().unwrap_or_default();
        if event.involved_object.kind.as_deref() == Some("NodeClaim") {
            let claim = self.node_claims.get(&Key::cluster(name));
            let owner = claim.and_then(|claim| owner_key(claim.as_ref()));
            // The claim may be gone before the Event about it arrives.
            let uid = event.involved_object.uid.as_deref().unwrap_or_default();
            return owner
                .or_else(|| self.launch_backoffs.owner_of(uid))
                .filter(|key| self.workspaces.contains(key))
                .into_iter()
                .collect();
        }
        // The claim for a volume with weights has the name of its pod.
        let name = render::pod_of_weights_claim(name).unwrap_or(name);
        let key = |name: &str| Key::namespaced(namespace.clone(), name);
        // A long name is cut before its suffix, so the label of a known pod counts too.
        let pod = self.pods.get(&key(name));
        let labeled = pod.and_then(|pod| pod.labels().get(labels::WORKSPACE).map(|name| key(name)));
        let cuts = name.match_indices('-').filter_map(|(at, _)| name.get(..at));
        cuts.chain([name])
            .map(key)
            .chain(labeled)
            .filter(|key| self.workspaces.contains(key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use operator_runtime::{CacheWriter, Change};
    use serde_json::{Value, json};

    use super::*;

    fn event(name: &str, more: &Value) -> Event {
        let mut value = json!({
            "metadata": {"name": format!("{name}.1"), "namespace": "d", "uid": "u", "resourceVersion": "7",
                "annotations": {"a": "b"}, "creationTimestamp": "2026-01-05T10:00:00Z"},
            "involvedObject": {"kind": "Pod", "namespace": "d", "name": name, "uid": "p", "fieldPath": "f"},
            "reason": "FailedMount", "type": "Warning", "message": "m", "count": 3,
            "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2026-01-05T10:00:00Z", "lastTimestamp": "2026-01-05T10:05:00Z",
        });
        let fields = value.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_no_plan_reads_is_stripped() {
        let mut old = event("w", &json!({"message": "m".repeat(5000)}));
        strip(&mut old);
        let value = serde_json::to_value(&old).unwrap();
        assert!(value.to_string().len() < 1400, "{value}");
        assert_eq!(value["lastTimestamp"], "2026-01-05T10:05:00Z");
        assert_eq!(
            value["involvedObject"],
            json!({"kind": "Pod", "name": "w", "uid": "p"})
        );
        let mut new = event(
            "w",
            &json!({"lastTimestamp": null, "eventTime": "2026-01-05T10:01:00.000000Z",
                "series": {"count": 4, "lastObservedTime": "2026-01-05T10:09:00.000000Z"}}),
        );
        strip(&mut new);
        let last = new.last_timestamp.unwrap().0;
        assert_eq!(last, "2026-01-05T10:09:00Z".parse().unwrap());
    }

    #[test]
    fn warnings_of_existing_workspaces_are_kept() {
        let workspace = |name: &str| -> Workspace {
            serde_json::from_value(json!({"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
                "metadata": {"name": name, "namespace": "d"}}))
            .unwrap()
        };
        let pod: Pod = serde_json::from_value(json!({"metadata":
            {"name": "cut-5d9x2", "namespace": "d", "labels": {"kaito.sh/workspace": "w-long"}}}))
        .unwrap();
        let claim = |name: &str, workspace: &str| -> NodeClaim {
            serde_json::from_value(json!({
                "metadata": {"name": name, "labels": {
                    "kaito.sh/workspace": workspace, "kaito.sh/workspacenamespace": "d"}},
                "spec": {"nodeClassRef": {"group": "g", "kind": "k", "name": "n"}, "requirements": []},
            }))
            .unwrap()
        };
        let launch_backoffs = SharedLaunchBackoffs::default();
        let mut lost = claim("ws4", "w");
        lost.metadata.uid = Some("lost".to_owned());
        let change = Change {
            key: Key::cluster("ws4"),
            old: Some(std::sync::Arc::new(lost)),
            new: None,
        };
        launch_backoffs.record(&change, operator_runtime::clock::now());
        let scope = WarningScope {
            launch_backoffs,
            node_claims: CacheWriter::of([claim("ws1", "w"), claim("ws2", "other")]).cache(),
            workspaces: CacheWriter::of([workspace("w"), workspace("w-long")]).cache(),
            pods: CacheWriter::of([pod]).cache(),
        };
        let found = |name: &str| -> Vec<String> {
            let keys = scope.workspaces_of(&event(name, &json!({})));
            keys.into_iter().map(|key| key.name).collect()
        };
        assert_eq!(found("w"), ["w"]);
        assert_eq!(found("w-5c9d-x7k2p"), ["w"]);
        assert_eq!(found("w-long-0"), ["w", "w-long"]);
        assert_eq!(found("model-weights-volume-w-0"), ["w"]);
        assert_eq!(found("cut-5d9x2"), ["w-long"]);
        assert_eq!(found("other-0"), Vec::<String>::new());
        // Events about objects without a namespace are in the namespace `default`.
        let about = |claim: &str| {
            let more = json!({
                "metadata": {"name": "e", "namespace": "default"}, "reason": "InsufficientCapacityError",
                "involvedObject": {"kind": "NodeClaim", "name": claim, "uid": if claim == "ws4" { "lost" } else { "c" }},
            });
            let event = event(claim, &more);
            assert_eq!(scope.contains(&event), ["ws1", "ws4"].contains(&claim), "{claim}");
            scope.workspaces_of(&event)
        };
        assert_eq!(about("ws1"), [Key::namespaced("d", "w")].into());
        assert_eq!(about("ws4"), [Key::namespaced("d", "w")].into());
        for claim in ["ws2", "ws3", "w"] {
            assert_eq!(about(claim), BTreeSet::new(), "{claim}");
        }
        assert!(scope.contains(&event("w-0", &json!({}))));
        assert!(!scope.contains(&event("w-0", &json!({"reason": "Preempted"}))));
        assert!(!scope.contains(&event("other-0", &json!({}))));
    }
}
