//! The container of a pod that matters now: the step that runs or failed, else the engine.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kaito_api::labels;
use serde::Serialize;

use crate::output::printable;

/// Restart policy of a step that runs beside the containers.
const SIDECAR: &str = "Always";

/// A container, and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodStep {
    /// Pod of the container.
    pub(crate) pod: String,
    /// Node of the pod; empty before it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) node: String,
    /// Name of the container.
    pub(crate) container: String,
    /// State in a few words.
    pub(crate) state: String,
    /// The container runs, or has run.
    #[serde(skip)]
    pub(crate) has_log: bool,
    /// The container runs now.
    #[serde(skip)]
    pub(crate) is_running: bool,
    /// The log that explains the state is that of the container's previous run.
    #[serde(skip)]
    pub(crate) previous: bool,
    /// Number of restarts of the container.
    #[serde(skip)]
    pub(crate) restarts: i32,
}

/// Finds the container of a pod that matters.
pub(crate) fn of(pod: &Pod) -> PodStep {
    let name = current(pod);
    let status = status(pod, &name);
    let state = status.and_then(|status| status.state.as_ref());
    let is_running = state.is_some_and(|state| state.running.is_some());
    let waits = state.is_some_and(|state| state.waiting.is_some());
    let last = status.and_then(|status| status.last_state.as_ref());
    let has_ended = last.is_some_and(|last| last.terminated.is_some());
    PodStep {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        node: pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_default(),
        state: describe(pod, status),
        has_log: is_running || state.is_some_and(|state| state.terminated.is_some()) || has_ended,
        is_running,
        previous: waits && has_ended,
        restarts: status.map_or(0, |status| status.restart_count),
        container: name,
    }
}

fn current(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let steps = spec.and_then(|spec| spec.init_containers.as_deref());
    let ends = |name: &str| {
        let state = status(pod, name).and_then(|status| status.state.as_ref());
        state
            .and_then(|state| state.terminated.as_ref())
            .is_some_and(|end| end.exit_code == 0)
    };
    let mut steps = steps.into_iter().flatten();
    let unfinished = steps.find(|step| step.restart_policy.as_deref() != Some(SIDECAR) && !ends(&step.name));
    let annotations = pod.metadata.annotations.as_ref();
    let named = annotations.and_then(|all| all.get(labels::DEFAULT_CONTAINER));
    let first = spec.and_then(|spec| spec.containers.first());
    unfinished
        .map(|step| &step.name)
        .or(named)
        .or(first.map(|container| &container.name))
        .cloned()
        .unwrap_or_default()
}

fn status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let steps = status.init_container_statuses.iter().flatten();
    let mut all = steps.chain(status.container_statuses.iter().flatten());
    all.find(|status| status.name == name)
}

fn describe(pod: &Pod, status: Option<&ContainerStatus>) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "terminating".to_owned();
    }
    let Some(state) = status.and_then(|status| status.state.as_ref()) else {
        return unscheduled(pod).unwrap_or_else(|| "waiting".to_owned());
    };
    let is_ready = status.is_some_and(|status| status.ready);
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().filter(|reason| !reason.is_empty());
        return match reason {
            Some(reason) if reason != "PodInitializing" => printable(reason),
            _ => "waiting".to_owned(),
        };
    }
    if let Some(end) = &state.terminated {
        let reason = end.reason.as_deref().unwrap_or("ended");
        return format!("{} with code {}", printable(reason), end.exit_code);
    }
    if is_ready {
        "ready".to_owned()
    } else {
        "running".to_owned()
    }
}

fn unscheduled(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(printable(found.reason.as_deref().unwrap_or("not scheduled")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(steps: &Value, containers: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "annotations": {"kubectl.kubernetes.io/default-container": "engine"}},
            "spec": {
                "nodeName": "n",
                "initContainers": [{"name": "weights"}, {"name": "front", "restartPolicy": "Always"}],
                "containers": [{"name": "helper"}, {"name": "engine"}],
            },
            "status": {"initContainerStatuses": steps, "containerStatuses": containers},
        }))
        .unwrap()
    }

    fn status(name: &str, state: &Value, more: &Value) -> Value {
        let mut status = json!({
            "name": name, "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": "",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            status[key.as_str()] = value.clone();
        }
        status
    }

    #[test]
    fn the_step_that_runs_or_failed_comes_first() {
        let none = json!({});
        let weights =
            |state: Value, more: &Value| of(&pod(&json!([status("weights", &state, more)]), &json!([])));
        let running = weights(json!({"running": {}}), &none);
        assert_eq!(
            (running.container.as_str(), running.state.as_str()),
            ("weights", "running")
        );
        assert!(running.has_log && running.is_running && !running.previous);
        let last = json!({"lastState": {"terminated": {"exitCode": 1}}, "restartCount": 1});
        let crashed = weights(json!({"waiting": {"reason": "CrashLoopBackOff"}}), &last);
        assert_eq!(
            (crashed.container.as_str(), crashed.state.as_str()),
            ("weights", "CrashLoopBackOff")
        );
        assert!(crashed.has_log && crashed.previous && !crashed.is_running);
        let pulling = weights(json!({"waiting": {"reason": "PodInitializing"}}), &none);
        assert_eq!((pulling.state.as_str(), pulling.has_log), ("waiting", false));
        let failed = weights(json!({"terminated": {"exitCode": 3, "reason": "Error"}}), &none);
        assert_eq!(failed.state, "Error with code 3");
    }

    #[test]
    fn then_the_engine() {
        let done = status("weights", &json!({"terminated": {"exitCode": 0}}), &json!({}));
        let engine = status("engine", &json!({"running": {}}), &json!({"ready": true}));
        let step = of(&pod(&json!([done]), &json!([engine])));
        assert_eq!(
            (step.container.as_str(), step.state.as_str()),
            ("engine", "ready")
        );
    }
}
