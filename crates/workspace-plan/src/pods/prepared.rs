//! Pods that cannot be prepared: volumes that cannot be mounted, and a network that cannot be made.
//!
//! Only Events report it. The kubelet mounts volumes first and makes the network then, so a failure of the network is newer.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kaito_api::conditions::WorkspaceReason;
use plan::refusal;

use super::settled::settled;
use crate::context::PlanContext;
use crate::metadata;
use crate::missing::MissingObject;
use crate::pod_state::has_begun;
use crate::problem::Problem;
use crate::warnings::{self, ATTACH, MAP, MOUNT, SANDBOX};

/// Kinds of failures, the most telling first.
const FAILURES: [(&[&str], WorkspaceReason, &str); 3] = [
    (
        &[SANDBOX],
        WorkspaceReason::PodSandboxFailed,
        "gets no network or sandbox",
    ),
    (
        &[ATTACH],
        WorkspaceReason::VolumeAttachFailed,
        "cannot get a volume attached",
    ),
    (
        &[MOUNT, MAP],
        WorkspaceReason::VolumeMountFailed,
        "cannot mount a volume",
    ),
];
/// Words of a warning that only repeats another one.
const SUMMARIES: [&str; 2] = ["Unable to attach or mount volumes", "timed out waiting for"];

/// Returns the problem of a pod that cannot be prepared.
pub(super) fn problem(context: &PlanContext<'_>, pod: &Pod) -> Option<Problem> {
    if !is_awaited(pod) {
        return None;
    }
    let found = warnings::about(context, &pod.metadata);
    let name = metadata::name(&pod.metadata);
    let of = |(reasons, reason, what): (&[&str], WorkspaceReason, &str)| {
        let texts = found.iter().filter(|(reason, _)| reasons.contains(reason));
        let mut texts = texts.map(|(_, text)| *text);
        let is_telling = |text: &&str| !SUMMARIES.iter().any(|words| text.contains(words));
        let text = texts.clone().find(is_telling).or_else(|| texts.next())?;
        let start = format!("pod {name} {what}: ");
        let words = settled(context, &start, &refusal::stable(text));
        Some(Problem::new(reason, format!("{start}{words}")))
    };
    let [sandbox, attach, mount] = FAILURES;
    let missing = || {
        let texts = found.iter().filter(|(reason, _)| [MOUNT, MAP].contains(reason));
        let all: BTreeSet<_> = texts
            .filter_map(|(_, text)| MissingObject::in_message(text))
            .collect();
        MissingObject::problem(&format!("pod {name}"), &all)
    };
    of(sandbox)
        .or_else(missing)
        .or_else(|| of(attach))
        .or_else(|| of(mount))
}

/// Returns true if the pod is on a node and its volumes and network are still being prepared.
fn is_awaited(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let prepared = conditions.unwrap_or_default().iter();
    let prepared = prepared.map(|condition| (condition.type_.as_str(), condition.status.as_str()));
    let mut prepared = prepared.filter(|(type_, _)| *type_ == "PodReadyToStartContainers");
    !matches!(phase, Some("Failed" | "Succeeded"))
        && match prepared.next() {
            Some((_, status)) => status != "True",
            // A kubelet that does not report it.
            None => !has_begun(pod),
        }
}
