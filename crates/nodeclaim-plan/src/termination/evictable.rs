//! The pods of a draining Node that are waited for, and the order in which they are evicted. Looks only; evicts nothing.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Toleration};
use kaito_api::labels::{DISRUPTED_TAINT, DO_NOT_DISRUPT, STATIC_POD_MIRROR};
use kube::ResourceExt as _;

use crate::time;

/// Time past its own deadline after which a pod will not end any more: its kubelet is dead.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// The order of evictions: pods that others depend on come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    Ordinary,
    Daemon,
    Critical,
    CriticalDaemon,
}

/// Returns true if the drain waits for this pod.
pub(crate) fn is_waited_for(pod: &Pod, now: Timestamp) -> bool {
    !is_mirror(pod) && !is_over(pod) && !tolerates_disruption(pod) && !is_stuck(pod, now)
}

/// Returns the group of the pod.
pub(crate) fn group(pod: &Pod) -> Group {
    let class = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.priority_class_name.as_deref())
        .unwrap_or_default();
    let critical = matches!(class, "system-cluster-critical" | "system-node-critical");
    match (critical, is_owned_by(pod, "DaemonSet")) {
        (false, false) => Group::Ordinary,
        (false, true) => Group::Daemon,
        (true, false) => Group::Critical,
        (true, true) => Group::CriticalDaemon,
    }
}

/// Returns true if the pod asks not to be disrupted.
pub(crate) fn is_protected(pod: &Pod) -> bool {
    pod.annotations()
        .get(DO_NOT_DISRUPT)
        .is_some_and(|value| value == "true")
}

fn is_mirror(pod: &Pod) -> bool {
    pod.annotations().contains_key(STATIC_POD_MIRROR) || is_owned_by(pod, "Node")
}

fn is_owned_by(pod: &Pod, kind: &str) -> bool {
    pod.owner_references().iter().any(|owner| owner.kind == kind)
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_stuck(pod: &Pod, now: Timestamp) -> bool {
    let deadline = pod.metadata.deletion_timestamp.as_ref();
    deadline.is_some_and(|deadline| time::after(deadline.0, STUCK_AFTER) < now)
}

fn tolerates_disruption(pod: &Pod) -> bool {
    let tolerations = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default();
    tolerations.iter().any(tolerates)
}

// The taint has no value, so `Equal` matches with an empty one.
fn tolerates(toleration: &Toleration) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key_fits = if key.is_empty() {
        exists
    } else {
        key == DISRUPTED_TAINT
    };
    let value_fits = exists || toleration.value.as_deref().unwrap_or_default().is_empty();
    key_fits && value_fits && (effect.is_empty() || effect == "NoSchedule")
}
