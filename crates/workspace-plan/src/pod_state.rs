//! The containers of a pod and their states.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kaito_api::conditions::WorkspaceReason;

use crate::metadata;
use crate::problem::Problem;

/// All containers, init containers first.
pub(crate) fn containers(pod: &Pod) -> impl Iterator<Item = (&Pod, &ContainerStatus)> {
    let status = pod.status.iter();
    let all = status.flat_map(|status| {
        status
            .init_container_statuses
            .iter()
            .flatten()
            .chain(status.container_statuses.iter().flatten())
    });
    all.map(move |container| (pod, container))
}

/// Current state of a container, then its last one.
pub(crate) fn states(container: &ContainerStatus) -> impl Iterator<Item = &ContainerState> {
    container.state.iter().chain(container.last_state.iter())
}

/// Returns true if a container of the pod runs or has run.
pub(crate) fn has_begun(pod: &Pod) -> bool {
    containers(pod).any(|(_, container)| {
        states(container).any(|state| state.running.is_some() || state.terminated.is_some())
    })
}

/// Returns a problem of a container.
pub(crate) fn of_container(
    reason: WorkspaceReason,
    pod: &Pod,
    container: &ContainerStatus,
    problem: &str,
) -> Problem {
    Problem::new(
        reason,
        format!(
            "container {} of pod {} {problem}",
            container.name,
            metadata::name(&pod.metadata)
        ),
    )
}

/// Reason and message of a container that waits.
pub(crate) fn waiting(container: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.as_deref().unwrap_or_default(),
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

/// Returns the scheduler's words about a pod that fits no node.
pub(crate) fn unschedulable(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let unschedulable = conditions.find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let is_pending = status.phase.as_deref() == Some("Pending");
    is_pending.then(|| unschedulable.message.as_deref().unwrap_or_default())
}
