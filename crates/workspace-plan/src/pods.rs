//! Problems of the Workspace's pods, each with one of our reasons.
//!
//! Messages name the container and the cause. They contain no counters: a status that changes by itself would be written
//! for ever.

mod ended;
mod image_pull;
mod prepared;
mod push;
mod settled;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kaito_api::conditions::WorkspaceReason;

use crate::context::PlanContext;
use crate::metadata;
use crate::missing::MissingObject;
use crate::pod_state::{self, containers, of_container, waiting};
use crate::problem::Problem;
use crate::weights_volume;
use crate::workload_problem;

pub(crate) use push::{refused as refused_push, retried as retried_push};

/// Waiting reasons of a container that cannot be started.
const START_REASONS: [&str; 6] = [
    "CreateContainerConfigError",
    "PreCreateHookError",
    "CreateContainerError",
    "PreStartHookError",
    "RunContainerError",
    "PostStartHookError",
];

/// Returns the most serious problem of the Workspace's pods, in upstream's order.
pub(crate) fn problem(context: &PlanContext<'_>) -> Option<Problem> {
    let pods = || context.pods.values().copied();
    let containers = || pods().flat_map(containers);
    type Check = fn(&PlanContext<'_>, &Pod, &ContainerStatus) -> Option<Problem>;
    let first = |of: Check| containers().find_map(|(pod, container)| of(context, pod, container));
    first(ended::out_of_memory)
        .or_else(|| first(image_pull::problem))
        .or_else(|| first(not_started))
        .or_else(|| first(ended::crashing))
        .or_else(|| pods().find_map(evicted))
        .or_else(|| weights_volume::problem(context))
        .or_else(|| pods().find_map(unschedulable))
        .or_else(|| pods().find_map(|pod| prepared::problem(context, pod)))
        .or_else(|| workload_problem::of(context))
}

/// Returns the step of the Workspace's Job that failed last, and why.
pub(crate) fn failed_step(context: &PlanContext<'_>) -> Option<String> {
    ended::failed_step(context)
}

/// Returns the image that the Workspace's pod pushed, by digest: the termination message of the pushing container.
pub(crate) fn pushed<'a>(context: &PlanContext<'a>) -> Option<&'a str> {
    let statuses = context.pods.values().copied().flat_map(containers);
    let ended = statuses.filter_map(|(_, container)| container.state.as_ref()?.terminated.as_ref());
    let messages = ended
        .filter(|end| end.exit_code == 0)
        .filter_map(|end| end.message.as_deref());
    messages
        .map(str::trim)
        .find(|message| message.contains("@sha256:") && !message.contains(char::is_whitespace))
}

/// Returns the container that runs, where pods run one after the other.
pub(crate) fn running<'a>(context: &PlanContext<'a>) -> Option<&'a str> {
    let mut all = context.pods.values().copied().flat_map(containers);
    all.find(|(_, container)| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    })
    .map(|(_, container)| container.name.as_str())
}

fn name(pod: &Pod) -> &str {
    metadata::name(&pod.metadata)
}

fn not_started(_: &PlanContext<'_>, pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let (reason, message) = waiting(container)?;
    if !START_REASONS.contains(&reason) {
        return None;
    }
    let what = format!("container {} of pod {}", container.name, name(pod));
    let missing = MissingObject::in_message(message).into_iter().collect();
    let problem = format!("cannot be started ({reason}): {}", cut(message));
    MissingObject::problem(&what, &missing).or_else(|| {
        Some(of_container(
            WorkspaceReason::ContainerStartError,
            pod,
            container,
            &problem,
        ))
    })
}

fn evicted(pod: &Pod) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    let is = status.phase.as_deref() == Some("Failed") && status.reason.as_deref() == Some("Evicted");
    let message = status.message.as_deref().unwrap_or_default();
    let reason = if message.contains("ephemeral-storage") || message.contains("disk") {
        WorkspaceReason::NodeDiskPressure
    } else if message.contains("memory") {
        WorkspaceReason::NodeMemoryPressure
    } else {
        WorkspaceReason::PodEvicted
    };
    is.then(|| Problem::new(reason, format!("pod {} was evicted: {}", name(pod), cut(message))))
}

fn unschedulable(pod: &Pod) -> Option<Problem> {
    let message = pod_state::unschedulable(pod)?;
    let what = format!("pod {}", name(pod));
    let missing = MissingObject::in_message(message).into_iter().collect();
    MissingObject::problem(&what, &missing).or_else(|| {
        let cause = format!("{what}: {}", cut(message));
        Some(Problem::new(WorkspaceReason::Unschedulable, cause))
    })
}

// Long enough to be useful, short enough to leave room for the remedy.
fn cut(message: &str) -> String {
    plan::text::cut(message.trim(), 256)
}
