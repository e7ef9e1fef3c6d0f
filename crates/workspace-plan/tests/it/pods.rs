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
        "False/WorkspaceInferenceStatusPending: the model is being loaded",
    );
    check(
        &[waiting("ImagePullBackOff")],
        "False/ImagePullError: container w of pod p0 cannot get its image example.com/m:1 (ImagePullBackOff). Check",
    );
    check(
        &[waiting("ErrImagePull")],
        "False/ImagePullError: container w of pod p0 cannot get its image example.com/m:1 (ImagePullBackOff). Check",
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
        "False/ContainerCrashLoopBackOff: container w of pod p0 keeps crashing, last with exit code 1: boom. Read",
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
