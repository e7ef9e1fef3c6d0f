//! The containers of a pod and their states.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

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
