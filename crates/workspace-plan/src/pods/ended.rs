//! Containers that ended with an error: the meaning of their exit code, and the lines that say why.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use kaito_api::conditions::WorkspaceReason;
use render::PUSHER;

use super::settled::settled;
use crate::context::PlanContext;
use crate::metadata;
use crate::pod_state;
use crate::problem::Problem;

/// Longest text of a container that is repeated, in bytes.
const LONGEST: usize = 400;
/// Words in the last lines of an engine that lacks GPU memory.
const GPU_MEMORY: [&str; 4] = [
    "CUDA out of memory",
    "OutOfMemoryError",
    "No available memory for the cache blocks",
    "can be stored in KV cache",
];

/// Returns the last end of a container that is not ready, unless it ended well.
fn failure(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    // A container that is ready again has recovered.
    if container.ready {
        return None;
    }
    let ends =
        |state: &Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    let last = if ends(&container.state) {
        &container.state
    } else {
        &container.last_state
    };
    last.as_ref()?.terminated.as_ref()
}

/// Returns the problem of a container that was killed for memory, with the number that was too small.
pub(super) fn out_of_memory(
    context: &PlanContext<'_>,
    pod: &Pod,
    container: &ContainerStatus,
) -> Option<Problem> {
    let end = failure(container)?;
    let limit = container.resources.as_ref().and_then(|resources| {
        let limits = resources.limits.as_ref()?;
        Some(format!(", at its limit of {}", limits.get("memory")?.0))
    });
    let of_node = || {
        let name = pod.spec.as_ref()?.node_name.as_deref()?;
        let capacity = context.nodes.get(name)?.status.as_ref()?.capacity.as_ref()?;
        Some(format!(", on a node with {}", capacity.get("memory")?.0))
    };
    let size = limit.or_else(of_node).unwrap_or_default();
    let problem = pod_state::of_container(
        WorkspaceReason::ContainerOOMKilled,
        pod,
        container,
        &format!("was killed for memory{size}"),
    );
    (end.reason.as_deref() == Some("OOMKilled")).then_some(problem)
}

/// Returns the problem of a container that ended with an error.
pub(super) fn crashing(context: &PlanContext<'_>, pod: &Pod, container: &ContainerStatus) -> Option<Problem> {
    let end = failure(container)?;
    let is_repeated = pod_state::waiting(container).is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
    if end.exit_code == 0 && !is_repeated {
        return None;
    }
    Some(of_end(context, pod, container, end, is_repeated))
}

fn of_end(
    context: &PlanContext<'_>,
    pod: &Pod,
    container: &ContainerStatus,
    end: &ContainerStateTerminated,
    is_repeated: bool,
) -> Problem {
    let lines = last_lines(end.message.as_deref().unwrap_or_default());
    let reason = if GPU_MEMORY.iter().any(|words| lines.contains(words)) {
        WorkspaceReason::GpuMemoryTooSmall
    } else if is_repeated {
        WorkspaceReason::ContainerCrashLoopBackOff
    } else {
        WorkspaceReason::ContainerFailed
    };
    let name = metadata::name(&pod.metadata);
    let what = format!(
        "container {} of pod {name} ended with {}",
        container.name,
        meaning(end)
    );
    if lines.is_empty() {
        return Problem::new(reason, what);
    }
    let start = format!("{what}: ");
    let lines = settled(context, &start, &lines);
    Problem::new(reason, format!("{start}{lines}"))
}

/// A container that ended with an error, its pod and its end.
type Failed<'a> = (&'a Pod, &'a ContainerStatus, &'a ContainerStateTerminated);

/// Returns the step of a Job that failed last.
pub(super) fn last_failed<'a>(context: &PlanContext<'a>) -> Option<Failed<'a>> {
    let failed = context.pods.values().copied().flat_map(|pod| {
        pod_state::containers(pod).filter_map(|(pod, container)| {
            let end = container.state.as_ref()?.terminated.as_ref()?;
            // A sidecar is stopped with its pod. The container that waits for this one has its error.
            (end.exit_code != 0 && container.name != PUSHER).then_some((pod, container, end))
        })
    });
    failed.max_by_key(|(.., end)| end.finished_at.as_ref().map(|time| time.0))
}

/// Returns the step of a Job that failed last, and why.
pub(super) fn failed_step(context: &PlanContext<'_>) -> Option<String> {
    let (pod, container, end) = last_failed(context)?;
    let problem = out_of_memory(context, pod, container);
    Some(
        problem
            .unwrap_or_else(|| of_end(context, pod, container, end, false))
            .cause,
    )
}

fn meaning(end: &ContainerStateTerminated) -> String {
    let name = match end.exit_code {
        0 => " although it should run on",
        126 => " (its command cannot be executed)",
        127 => " (its command was not found)",
        134 => " (aborted)",
        137 => " (killed: by a probe that failed, or for memory)",
        139 => " (crashed: invalid memory access)",
        143 => " (it was asked to stop)",
        _ => "",
    };
    format!("exit code {}{name}", end.exit_code)
}

/// Returns the line that says why a container ended: the last one that names an error, else the last one.
pub(super) fn last_lines(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let is_error = |line: &&&str| {
        let line = line.to_ascii_lowercase();
        ["error", "exception", "panicked", "failed", "fatal"]
            .iter()
            .any(|word| line.contains(word))
    };
    let line = lines.iter().rev().find(is_error).or_else(|| lines.last());
    let words = line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    plan::text::cut(&words.unwrap_or_default(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_names_an_error_is_shown() {
        let log = "INFO loading\nValueError: max seq len 131072 is too long\nINFO bye\n";
        assert_eq!(last_lines(log), "ValueError: max seq len 131072 is too long");
        assert_eq!(last_lines("a\n  b \n\n"), "b");
        assert_eq!(last_lines(""), "");
    }
}
