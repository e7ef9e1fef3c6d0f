//! The push of a tuning's result: refused before the tuning, or repeated after it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod};
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use render::{PUSH_CHECK, PUSH_RESULT, PUSHER};

use super::ended::{last_failed, last_lines};
use super::settled::settled;
use crate::context::PlanContext;
use crate::metadata;
use crate::pod_state;
use crate::problem::Problem;

/// Exit code of our `artifact` when a server cannot be reached.
const UNREACHABLE: i32 = 6;
/// Exit code of a program that a signal ended: the pod ends, or its node.
const STOPPED: i32 = 143;

/// Returns the problem of a push whose check failed. The Job has failed by it.
pub(crate) fn refused(context: &PlanContext<'_>) -> Option<Problem> {
    let (pod, _, end) = last_failed(context).filter(|(_, container, _)| container.name == PUSH_CHECK)?;
    let reason = match end.exit_code {
        UNREACHABLE => WorkspaceReason::ImageRegistryUnreachable,
        _ => WorkspaceReason::ImagePushRefused,
    };
    let pod = metadata::name(&pod.metadata);
    let cause = format!(
        "the tuning Job failed: container {PUSH_CHECK} of pod {pod}: {}",
        words(end)
    );
    Some(Problem::new(reason, cause))
}

/// Returns the problem of a push that failed and is repeated beside a trained result.
pub(crate) fn retried(context: &PlanContext<'_>) -> Option<Problem> {
    let pods = context.pods.values().copied().filter(|pod| is_alive(pod));
    let mut containers = pods.flat_map(pod_state::containers);
    let (pod, container) = containers.find(|(_, container)| container.name == PUSHER)?;
    let end = failure(container.state.as_ref()).or_else(|| failure(container.last_state.as_ref()))?;
    let spec = context.workspace().spec.tuning.as_ref();
    let image = spec.map_or("its image", |spec| spec.output.image.as_str());
    let until = until(context, pod).map_or_else(String::new, |time| format!(" until {time}"));
    let start = format!("the result is trained, and its push to {image} is repeated{until}: ");
    let words = settled(context, &start, &words(end));
    Some(Problem::new(
        WorkspaceReason::ImagePushRetried,
        format!("{start}{words}"),
    ))
}

/// Returns true if the pod has not ended and is not about to.
fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    metadata::is_live(&pod.metadata) && !matches!(phase, Some("Failed" | "Succeeded"))
}

fn failure(state: Option<&ContainerState>) -> Option<&ContainerStateTerminated> {
    let end = state?.terminated.as_ref()?;
    (![0, STOPPED].contains(&end.exit_code)).then_some(end)
}

/// The time at which the push is given up, once the container that does so runs.
fn until(context: &PlanContext<'_>, pod: &Pod) -> Option<Timestamp> {
    let job = context.job()?;
    let seconds = metadata::annotation(&job.metadata, labels::PUSH_RETRY_SECONDS)?;
    let seconds = SignedDuration::from_secs(seconds.parse().ok()?);
    let mut containers = pod_state::containers(pod);
    let (_, waits) = containers.find(|(_, container)| container.name == PUSH_RESULT)?;
    let since = waits.state.as_ref()?.running.as_ref()?.started_at.as_ref()?;
    since.0.checked_add(seconds).ok()
}

fn words(end: &ContainerStateTerminated) -> String {
    match last_lines(end.message.as_deref().unwrap_or_default()) {
        lines if lines.is_empty() => format!("exit code {}", end.exit_code),
        lines => lines,
    }
}
