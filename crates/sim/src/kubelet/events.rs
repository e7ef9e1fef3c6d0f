//! Events of a kubelet: repeated with a counter while their cause lasts, and left behind when it is gone.

use jiff::{SignedDuration, Timestamp};
use plan::{Kind, ObjectRef};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, key};
use crate::json;

const ACTOR: &str = "kubelet";
/// Pause between two attempts to mount.
const RETRY: SignedDuration = SignedDuration::from_secs(120);

/// Reports that a volume of the pod cannot be mounted. Returns the time of the next attempt.
pub(super) fn mount_failed(pod: &ObjectRef, value: &Value, now: Timestamp, api: &mut ApiServer) -> Timestamp {
    let namespace = pod.namespace.as_deref().unwrap_or_default();
    let event = key(Kind::Event, namespace, &format!("{}.mount", pod.name));
    let before = api.get(&event).cloned().unwrap_or_default();
    let count = json::number(&before, &["count"]).unwrap_or(0);
    let last = json::time(&before, &["lastTimestamp"]);
    let next = last.map_or(now, |last| last.saturating_add(RETRY).unwrap_or(last));
    if now < next {
        return next;
    }
    let news = json!({"count": count + 1, "lastTimestamp": json::stamp(now)});
    if count == 0 {
        let mut whole = json!({
            "type": "Warning", "reason": "FailedMount",
            "message": "MountVolume.SetUp failed for volume \"config\" : configmap \"missing\" not found",
            "involvedObject": {
                "kind": "Pod", "namespace": namespace, "name": pod.name, "uid": json::text(value, &["metadata", "uid"]),
            },
        });
        crate::api_server::fields::merge(&mut whole, &news);
        let _ = api.create(ACTOR, &event, whole);
    } else {
        let _ = api.edit(ACTOR, &event, |value| {
            crate::api_server::fields::merge(value, &news)
        });
    }
    now.saturating_add(RETRY).unwrap_or(now)
}
