//! Problems of the Workspace's pods, each with one of our reasons.
//!
//! Messages name the container and the cause. They contain no counters: a status that changes by itself would be written
//! for ever.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kaito_api::conditions::WorkspaceReason;

use crate::context::PlanContext;
use crate::metadata;
use crate::pod_state::{containers, states};
use crate::problem::Problem;
use crate::workload_problem;

/// Waiting reasons of a container whose image cannot be pulled.
const PULL_REASONS: [&str; 6] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
];
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
    let first = |of: fn(&Pod, &ContainerStatus) -> Option<Problem>| {
        containers().find_map(|(pod, container)| of(pod, container))
    };
    first(out_of_memory)
        .or_else(|| first(not_pulled))
        .or_else(|| first(not_started))
        .or_else(|| first(crashing))
        .or_else(|| pods().find_map(evicted))
        .or_else(|| pods().find_map(unschedulable))
        .or_else(|| workload_problem::of(context))
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

fn of_container(reason: WorkspaceReason, pod: &Pod, container: &ContainerStatus, problem: &str) -> Problem {
    Problem::new(
        reason,
        format!("container {} of pod {} {problem}", container.name, name(pod)),
    )
}

fn name(pod: &Pod) -> &str {
    metadata::name(&pod.metadata)
}

fn waiting(container: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.as_deref().unwrap_or_default(),
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

fn out_of_memory(pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let killed = |state: &ContainerState| {
        state.terminated.as_ref().and_then(|t| t.reason.as_deref()) == Some("OOMKilled")
    };
    // A container that runs again has recovered.
    let runs = container.ready
        && container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some());
    let out = !runs && states(container).any(killed);
    out.then(|| {
        of_container(
            WorkspaceReason::ContainerOOMKilled,
            pod,
            container,
            "was killed for memory",
        )
    })
}

fn not_pulled(pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let (reason, _) = waiting(container)?;
    let problem = format!("cannot get its image {} ({})", container.image, stable(reason));
    PULL_REASONS
        .contains(&reason)
        .then(|| of_container(WorkspaceReason::ImagePullError, pod, container, &problem))
}

// The kubelet alternates between the error and the back-off after it.
fn stable(reason: &str) -> &str {
    if reason == "ErrImagePull" {
        "ImagePullBackOff"
    } else {
        reason
    }
}

fn not_started(pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let (reason, message) = waiting(container)?;
    let problem = format!("cannot be started ({reason}): {}", cut(message));
    START_REASONS
        .contains(&reason)
        .then(|| of_container(WorkspaceReason::ContainerStartError, pod, container, &problem))
}

fn crashing(pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let (reason, _) = waiting(container)?;
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let end = last.map_or_else(String::new, |end| {
        let message = end
            .message
            .as_deref()
            .map(|message| format!(": {}", cut(message)))
            .unwrap_or_default();
        format!(", last with exit code {}{message}", end.exit_code)
    });
    let problem = format!("keeps crashing{end}");
    (reason == "CrashLoopBackOff").then(|| {
        of_container(
            WorkspaceReason::ContainerCrashLoopBackOff,
            pod,
            container,
            &problem,
        )
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
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let unschedulable = conditions.into_iter().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = unschedulable.message.as_deref().unwrap_or_default();
    let pending = status.phase.as_deref() == Some("Pending");
    pending.then(|| {
        Problem::new(
            WorkspaceReason::Unschedulable,
            format!("pod {}: {}", name(pod), cut(message)),
        )
    })
}

// Long enough to be useful, short enough to leave room for the remedy.
fn cut(message: &str) -> String {
    plan::text::cut(message.trim(), 256)
}
