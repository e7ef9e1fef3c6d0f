//! Emptying a Node before its instance is deleted: no new pods, the old ones evicted group by group, their volumes
//! detached. The time is bounded: after the timeout pods are deleted, and a little later nothing is waited for.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kaito_api::conditions::{ClaimConditionType, ClaimReason};
use kaito_api::labels::{DISRUPTED_TAINT, EXCLUDE_FROM_LB};
use kube::ResourceExt as _;
use plan::{Delete, Evict, Kind, ObjectRef, Propagation, Write};

use crate::context::PlanContext;
use crate::node::edit::NodeEdit;
use crate::node::facts::{has_finalizer, is_silent};
use crate::termination::evictable::{group, is_protected, is_waited_for};
use crate::{spot, time};

/// Most evictions in one reconcile.
const MAX_EVICTIONS: usize = 10;
/// Time that deleted pods are waited for.
const LAST_WAIT: SignedDuration = SignedDuration::from_mins(2);
/// Longest grace period of a pod after the timeout, in seconds.
const LAST_GRACE: u32 = 60;
/// Longest grace period of a pod on a Node that the cloud takes back, in seconds. The notice may be as short as 30 seconds.
const NOTICE_GRACE: u32 = 25;
/// Time until a refused eviction is asked for again. The watch reports pods that end.
const EVICTION_RETRY: Duration = Duration::from_secs(5);

/// State of the drain.
pub(crate) enum Drain {
    /// Something is waited for.
    Waiting {
        reason: ClaimReason,
        cause: String,
        writes: Vec<Write>,
        requeue: Duration,
    },
    /// Nothing is waited for any more.
    Done,
}

/// Means of the drain, which change as time passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DrainMode {
    /// Pods are asked to go.
    Evict,
    /// Pods are deleted, with a grace period of at most this many seconds.
    ForceDelete { grace: u32 },
    /// The deadline has passed; remaining pods are no longer waited for.
    GiveUp,
}

/// Returns the next step of the drain of the claim's registered Nodes. The cloud handles the others.
pub(crate) fn next(context: &PlanContext<'_>) -> Drain {
    let nodes = context.own_nodes.iter().copied();
    let nodes: Vec<&Node> = nodes.filter(|node| has_finalizer(node)).collect();
    let mode = mode(context, &nodes);
    let Some(first) = nodes.first().filter(|_| mode != DrainMode::GiveUp) else {
        return Drain::Done;
    };
    let mut writes: Vec<Write> = nodes.iter().filter_map(|node| cordon(node)).collect();
    let (reason, cause) = if let Some(pods) = pods(context, &nodes, mode) {
        writes.extend(pods.writes);
        (ClaimReason::Draining, pods.cause)
    } else if let Some(cause) = volumes(context, &nodes).filter(|_| mode == DrainMode::Evict) {
        (ClaimReason::AwaitingVolumeDetachment, cause)
    } else if writes.is_empty() {
        return Drain::Done;
    } else {
        // New pods could still come until the taint is stored.
        let cause = format!("Node {} is closed to new pods", first.name_any());
        (ClaimReason::Draining, cause)
    };
    Drain::Waiting {
        reason,
        cause,
        writes,
        requeue: EVICTION_RETRY,
    }
}

fn mode(context: &PlanContext<'_>, nodes: &[&Node]) -> DrainMode {
    let by_time = mode_by_time(context);
    let is_unhealthy = context.claim.condition(ClaimConditionType::NodeHealthy).is_some();
    let marks = &context.settings.spot_marks;
    if by_time == DrainMode::Evict && nodes.iter().any(|node| spot::has_notice(marks, node)) {
        return DrainMode::ForceDelete { grace: NOTICE_GRACE };
    }
    // Of a kubelet that was silent for so long nothing is heard any more.
    if is_unhealthy && nodes.iter().all(|node| is_silent(node)) {
        return DrainMode::GiveUp;
    }
    by_time
}

fn mode_by_time(context: &PlanContext<'_>) -> DrainMode {
    let Some(deleted) = context.claim.metadata().deletion_timestamp.as_ref() else {
        return DrainMode::Evict;
    };
    let own = context.claim.termination_grace_period();
    let timeout = own.map_or(context.settings.drain_timeout, SignedDuration::from_secs);
    let timeout = time::after(deleted.0, timeout);
    let deadline = time::after(timeout, LAST_WAIT);
    match context.now {
        now if now < timeout => DrainMode::Evict,
        now if now < deadline => DrainMode::ForceDelete { grace: LAST_GRACE },
        _ => DrainMode::GiveUp,
    }
}

fn cordon(node: &Node) -> Option<Write> {
    let mut edit = NodeEdit::new(node);
    edit.taint(&Taint {
        key: DISRUPTED_TAINT.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    });
    edit.label(EXCLUDE_FROM_LB, "karpenter");
    edit.into_write()
}

/// Pods that are waited for.
struct RemainingPods {
    cause: String,
    writes: Vec<Write>,
}

fn pods(context: &PlanContext<'_>, nodes: &[&Node], mode: DrainMode) -> Option<RemainingPods> {
    let waited_for: Vec<&Pod> = context
        .pods
        .iter()
        .copied()
        .filter(|pod| is_on(pod, nodes) && is_waited_for(pod, context.now))
        .collect();
    let first = waited_for.iter().map(|pod| group(pod)).min()?;
    let terminating: Vec<&Pod> = if mode == DrainMode::Evict {
        waited_for.into_iter().filter(|pod| group(pod) == first).collect()
    } else {
        waited_for
    };
    let movable = |pod: &&&Pod| {
        pod.metadata.deletion_timestamp.is_none() && (mode != DrainMode::Evict || !is_protected(pod))
    };
    let writes = terminating
        .iter()
        .filter(movable)
        .take(MAX_EVICTIONS)
        .map(|pod| removal(pod, mode))
        .collect();
    Some(RemainingPods {
        cause: blocker(&terminating),
        writes,
    })
}

/// Names the pod that most likely delays the drain: one that asks not to be disrupted, else the first.
fn blocker(pods: &[&Pod]) -> String {
    let name = |pod: &Pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    match (pods.iter().find(|pod| is_protected(pod)), pods.first()) {
        (Some(pod), _) => format!("pod {} asks not to be disrupted", name(pod)),
        (None, Some(pod)) => format!("waiting for pod {} to end", name(pod)),
        (None, None) => String::new(),
    }
}

fn removal(pod: &Pod, mode: DrainMode) -> Write {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let uid = pod.uid().unwrap_or_default();
    let DrainMode::ForceDelete { grace } = mode else {
        return Write::Evict(Evict { namespace, name, uid });
    };
    let own = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.termination_grace_period_seconds)
        .unwrap_or(30);
    Write::Delete(Delete {
        target: ObjectRef {
            kind: Kind::Pod,
            namespace: Some(namespace),
            name,
        },
        uid,
        resource_version: None,
        propagation: Propagation::Background,
        grace_seconds: Some(u32::try_from(own).unwrap_or(0).min(grace)),
    })
}

fn is_on(pod: &Pod, nodes: &[&Node]) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.is_some_and(|name| {
        nodes
            .iter()
            .any(|node| node.metadata.name.as_deref() == Some(name))
    })
}

fn volumes(context: &PlanContext<'_>, nodes: &[&Node]) -> Option<String> {
    let held = context.attachments.iter().find(|attachment| {
        nodes
            .iter()
            .any(|node| node.metadata.name.as_deref() == Some(attachment.spec.node_name.as_str()))
    })?;
    let volume = held
        .spec
        .source
        .persistent_volume_name
        .clone()
        .unwrap_or_else(|| held.name_any());
    Some(format!(
        "volume {volume} is still attached to Node {}",
        held.spec.node_name
    ))
}
