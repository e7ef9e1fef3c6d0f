//! The weights, as the pods of a Workspace report them: a step downloads them, or the kubelet pulls their image.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use render::WEIGHTS_STEP;
use serde_json::Value;

use crate::context::PlanContext;
use crate::pod_state;
use crate::workload::Workload;

/// Returns what is awaited if a preset's weights are not in the volumes of all pods yet.
pub(crate) fn awaited(context: &PlanContext<'_>) -> Option<&'static str> {
    let inference = context.workspace().spec.inference.as_ref();
    let is_preset = inference.is_some_and(|inference| inference.preset.is_some());
    let is_awaited = is_preset && (context.pods.is_empty() || context.pods.values().any(|pod| awaits(pod)));
    is_awaited.then(|| match context.workload.and_then(Workload::weights_image) {
        Some(_) => "the image with the weights is being pulled",
        None => "the weights are being downloaded",
    })
}

/// Returns true if the step of this pod has not succeeded. A pod whose weights are an image has none.
fn awaits(pod: &Pod) -> bool {
    match step(pod) {
        Some(step) => success(step).is_none(),
        None => !pod_state::has_begun(pod),
    }
}

/// Time at which the weights were in the pod's volume.
pub(crate) fn downloaded(pod: &Pod) -> Option<Timestamp> {
    success(step(pod)?)?.finished_at.as_ref().map(|time| time.0)
}

/// Returns the bytes that the step reports in its termination message. They are shown, and nothing follows from them.
pub(crate) fn bytes(context: &PlanContext<'_>) -> Option<i64> {
    let of_pod = |pod: &&Pod| -> Option<i64> {
        let message = success(step(pod)?)?.message.as_deref()?;
        let report: Value = serde_json::from_str(message).ok()?;
        report["weightsBytes"].as_i64().filter(|bytes| *bytes > 0)
    };
    context.pods.values().filter_map(of_pod).max()
}

fn step(pod: &Pod) -> Option<&ContainerStatus> {
    let steps = pod.status.as_ref()?.init_container_statuses.as_deref()?;
    steps.iter().find(|status| status.name == WEIGHTS_STEP)
}

fn success(step: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    pod_state::states(step)
        .filter_map(|state| state.terminated.as_ref())
        .find(|end| end.exit_code == 0)
}
