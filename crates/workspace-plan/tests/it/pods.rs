//! Problems of pods, from the most to the least serious.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::case::{Case, condition};
use crate::objects::pod;

#[track_caller]
fn check(statuses: &[Value], starts: &str) {
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
    case = case.edit(|workspace| workspace.status = None);
    let pods = statuses.iter().enumerate();
    case.observed.pods = pods
        .map(|(at, status)| Arc::new(pod(&format!("p{at}"), status.clone())))
        .collect();
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![]);
    let says = condition(&plan, "InferenceReady");
    assert!(says.starts_with(starts), "{says}");
}

fn container(state: Value, last: Value) -> Value {
    json!({"containerStatuses": [{"name": "w", "image": "example.com/m:1", "imageID": "", "ready": false, "restartCount": 4,
        "state": state, "lastState": last}]})
}

fn waiting(reason: &str) -> Value {
    container(
        json!({"waiting": {"reason": reason, "message": "back-off 5m0s"}}),
        json!({}),
    )
}

#[test]
fn each_failure_has_its_reason() {
    let ended = |reason: &str, code: i32| json!({"terminated": {"reason": reason, "exitCode": code, "message": "boom"}});
    check(
        &[],
        "False/WorkspaceInferenceStatusPending: the weights are being downloaded",
    );
    let step = |state: Value| {
        json!({"initContainerStatuses": [{"name": "weights", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": state}]})
    };
    check(
        &[step(json!({"running": {}}))],
        "False/WorkspaceInferenceStatusPending: the weights are being downloaded",
    );
    check(
        &[step(json!({"terminated": {"exitCode": 0}}))],
        "False/WorkspaceInferenceStatusPending: the model is being loaded",
    );
    check(
        &[container(json!({"running": {}}), json!({}))],
        "False/WorkspaceInferenceStatusPending: the model is being loaded",
    );
    check(
        &[waiting("ImagePullBackOff")],
        "False/ImagePullError: container w of pod p0 cannot get its image example.com/m:1: it cannot be pulled. Check",
    );
    check(
        &[waiting("ErrImagePull")],
        "False/ImagePullError: container w of pod p0 cannot get its image example.com/m:1: it cannot be pulled. Check",
    );
    check(
        &[waiting("CreateContainerConfigError")],
        "False/ContainerStartError: container w of pod p0 cannot be started (CreateContainerConfigError): back-off",
    );
    let crash = container(
        json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        ended("Error", 1),
    );
    check(
        std::slice::from_ref(&crash),
        "False/ContainerCrashLoopBackOff: container w of pod p0 ended with exit code 1: boom. Read",
    );
    let killed = container(
        json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        ended("OOMKilled", 137),
    );
    check(
        &[crash, waiting("ErrImagePull"), killed],
        "False/ContainerOOMKilled: container w of pod p2 was killed for memory. Choose",
    );
    let evicted = |message: &str| json!({"phase": "Failed", "reason": "Evicted", "message": message});
    check(
        &[evicted("low on resource: ephemeral-storage")],
        "False/NodeDiskPressure",
    );
    check(&[evicted("low on resource: memory")], "False/NodeMemoryPressure");
    check(
        &[evicted("preempted")],
        "False/PodEvicted: pod p0 was evicted: preempted. See",
    );
    let unschedulable = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]});
    check(
        &[unschedulable],
        "False/Unschedulable: pod p0: 0/3 nodes are available. See",
    );
}

#[test]
fn a_container_that_runs_again_has_recovered() {
    let again = json!({"containerStatuses": [{"name": "w", "image": "i", "imageID": "", "ready": true, "restartCount": 1,
        "state": {"running": {}}, "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]});
    check(&[again], "False/WorkspaceInferenceStatusPending");
}

#[test]
fn an_image_that_cannot_be_pulled_says_who_refuses_it() {
    let pull = |message: &str| {
        container(
            json!({"waiting": {"reason": "ErrImagePull", "message": message}}),
            json!({}),
        )
    };
    let cases = [
        (
            "failed to authorize: 401 Unauthorized",
            "ImagePullUnauthorized",
            "the registry refuses the credentials",
        ),
        (
            "example.com/m:1: not found",
            "ImageNotFound",
            "the registry does not have it",
        ),
        (
            "dial tcp: lookup example.com: no such host",
            "ImageRegistryUnreachable",
            "the registry cannot be reached",
        ),
    ];
    for (message, reason, cause) in cases {
        let expected =
            format!("False/{reason}: container w of pod p0 cannot get its image example.com/m:1: {cause}. ");
        check(&[pull(message)], &expected);
    }
    check(
        &[waiting("InvalidImageName")],
        "False/ImageNameInvalid: container w of pod p0",
    );
}

#[test]
fn the_cause_stays_while_the_kubelet_backs_off() {
    let case = |status: &Value| {
        let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
        case.observed.pods = vec![Arc::new(pod("p0", status.clone()))];
        case
    };
    let pull = container(
        json!({"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}),
        json!({}),
    );
    let mut seen = case(&pull).stored();
    seen.observed.pods = vec![Arc::new(pod("p0", waiting("ImagePullBackOff")))];
    assert_eq!(seen.plan().status, None);
}

#[test]
fn a_container_that_ended_shows_its_line_and_is_not_written_again_for_another_time() {
    let ended = |code: i32, message: &str| {
        container(
            json!({"terminated": {"reason": "Error", "exitCode": code, "message": message}}),
            json!({}),
        )
    };
    check(
        &[ended(
            1,
            "INFO starting\nValueError: max seq len 131072 is too long\n",
        )],
        "False/ContainerFailed: container w of pod p0 ended with exit code 1: ValueError: max seq len 131072 is too long. Read",
    );
    check(
        &[ended(137, "")],
        "False/ContainerFailed: container w of pod p0 ended with exit code 137 (killed: by a probe that failed, or for memory). Read",
    );
    check(
        &[ended(
            1,
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
        )],
        "False/GPUMemoryTooSmall: container w of pod p0 ended with exit code 1: torch.OutOfMemoryError",
    );
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
    let set = |case: &mut Case, message: &str| {
        case.observed.pods = vec![Arc::new(pod("p0", ended(1, message)))];
    };
    set(&mut case, "10:00:01 error: no such file");
    let mut case = case.stored();
    assert_eq!(case.plan().status, None);
    set(&mut case, "10:05:07 error: no such file");
    assert_eq!(case.plan().status, None);
    set(&mut case, "10:05:07 error: no such host");
    assert_ne!(case.plan().status, None);
}

#[test]
fn memory_that_was_too_small_is_named() {
    let mut killed = container(
        json!({"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
        json!({}),
    );
    killed["containerStatuses"][0]["resources"] = json!({"limits": {"memory": "4Gi"}});
    check(
        &[killed],
        "False/ContainerOOMKilled: container w of pod p0 was killed for memory, at its limit of 4Gi. Choose",
    );
}
