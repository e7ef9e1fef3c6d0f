//! Emptying a Node before its instance goes: no new pods, the old ones evicted group by group, their volumes
//! detached. Bounded: after the timeout pods are deleted, and a little later nothing is waited for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::{DISRUPTED_TAINT, EXCLUDE_FROM_LB};
use kube::ResourceExt as _;
use plan::{Delete, Evict, Kind, ObjectRef, Propagation, Write};

use crate::backoff;
use crate::context::Ctx;
use crate::node::edit::NodeEdit;
use crate::node::evictable::{group, is_protected, is_waited_for};
use crate::ownership;

/// Most evictions a pass.
const MOST: usize = 10;
/// How long deleted pods are waited for.
const LAST_WAIT: SignedDuration = SignedDuration::from_mins(2);
/// Longest grace a pod gets after the timeout, in seconds.
const LAST_GRACE: u32 = 60;
/// How soon a refused eviction is asked for again; pods that go are told by the watch.
const AGAIN: Duration = Duration::from_secs(5);

/// How far the drain is.
pub(crate) enum Drain {
    /// Under way.
    Going {
        /// What is waited for.
        reason: ClaimReason,
        /// Who exactly.
        cause: String,
        /// What helps it along.
        writes: Vec<Write>,
        /// When to look again.
        requeue: Duration,
    },
    /// Nothing is waited for any more.
    Done,
}

/// How gentle the drain still is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Pods are asked to go.
    Asking,
    /// Pods are made to go.
    Insisting,
    /// Pods are left to their fate.
    Over,
}

/// The next step of the drain of the claim's registered Nodes; others are left to the cloud.
pub(crate) fn drain(ctx: &Ctx<'_>) -> Drain {
    let nodes: Vec<&Node> = ctx
        .own_nodes()
        .filter(|node| ownership::has_finalizer(node))
        .collect();
    let patience = patience(ctx);
    if nodes.is_empty() || patience == Patience::Over {
        return Drain::Done;
    }
    let mut writes: Vec<Write> = nodes.iter().filter_map(|node| cordon(node)).collect();
    if let Some(Waiting { cause, writes: more }) = pods(ctx, &nodes, patience) {
        writes.extend(more);
        return Drain::Going {
            reason: ClaimReason::Draining,
            cause,
            writes,
            requeue: AGAIN,
        };
    }
    if patience == Patience::Asking
        && let Some(cause) = volumes(ctx, &nodes)
    {
        let reason = ClaimReason::AwaitingVolumeDetachment;
        return Drain::Going {
            reason,
            cause,
            writes,
            requeue: AGAIN,
        };
    }
    if writes.is_empty() {
        return Drain::Done;
    }
    // New pods could still come until the taint is stored.
    let cause = format!("Node {} is closed to new pods", nodes[0].name_any());
    Drain::Going {
        reason: ClaimReason::Draining,
        cause,
        writes,
        requeue: AGAIN,
    }
}

fn patience(ctx: &Ctx<'_>) -> Patience {
    let Some(deleted) = ctx.claim.metadata().deletion_timestamp.as_ref() else {
        return Patience::Asking;
    };
    let own = ctx
        .claim
        .termination_grace_period()
        .map(jiff::SignedDuration::from_secs);
    let timeout = backoff::after(deleted.0, own.unwrap_or(ctx.settings.drain_timeout));
    let over: Timestamp = backoff::after(timeout, LAST_WAIT);
    match ctx.now {
        now if now < timeout => Patience::Asking,
        now if now < over => Patience::Insisting,
        _ => Patience::Over,
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

struct Waiting {
    cause: String,
    writes: Vec<Write>,
}

fn pods(ctx: &Ctx<'_>, nodes: &[&Node], patience: Patience) -> Option<Waiting> {
    let waited_for: Vec<&Pod> = ctx
        .pods
        .iter()
        .copied()
        .filter(|pod| is_on(pod, nodes) && is_waited_for(pod, ctx.now))
        .collect();
    let first = waited_for.iter().map(|pod| group(pod)).min()?;
    let going: Vec<&Pod> = if patience == Patience::Asking {
        waited_for.into_iter().filter(|pod| group(pod) == first).collect()
    } else {
        waited_for
    };
    let movable = |pod: &&&Pod| {
        pod.metadata.deletion_timestamp.is_none() && (patience != Patience::Asking || !is_protected(pod))
    };
    let writes = going
        .iter()
        .filter(movable)
        .take(MOST)
        .map(|pod| removal(pod, patience))
        .collect();
    Some(Waiting {
        cause: blocker(&going),
        writes,
    })
}

/// Names the pod that most likely holds the drain up: one that asks not to be disturbed, else the first.
fn blocker(pods: &[&Pod]) -> String {
    let name = |pod: &Pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
    match (pods.iter().find(|pod| is_protected(pod)), pods.first()) {
        (Some(pod), _) => format!("pod {} asks not to be disrupted", name(pod)),
        (None, Some(pod)) => format!("waiting for pod {} to end", name(pod)),
        (None, None) => String::new(),
    }
}

fn removal(pod: &Pod, patience: Patience) -> Write {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let uid = pod.uid().unwrap_or_default();
    if patience == Patience::Asking {
        return Write::Evict(Evict { namespace, name, uid });
    }
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
        propagation: Propagation::Background,
        grace_seconds: Some(u32::try_from(own).unwrap_or(0).min(LAST_GRACE)),
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

fn volumes(ctx: &Ctx<'_>, nodes: &[&Node]) -> Option<String> {
    let held = ctx.attachments.iter().find(|attachment| {
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
