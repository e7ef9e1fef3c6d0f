//! Containers of a pod.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// Iterates over all containers, init containers first.
pub(super) fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}
