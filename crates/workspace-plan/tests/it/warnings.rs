//! Problems that only Events report: shown while the state agrees with them, written once, and forgotten.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};

use crate::case::{Case, condition};
use crate::objects::{job_pod, parse, pod, t};

/// A warning about the object of this UID, last seen at this second.
fn warning(uid: &str, reason: &str, message: &str, at: i64) -> Arc<Event> {
    Arc::new(parse(json!({
        "metadata": {"name": format!("{uid}.{at}"), "namespace": "default"},
        "involvedObject": {"uid": uid},
        "reason": reason, "message": message, "lastTimestamp": t(at).to_string(),
    })))
}

fn mount(object: &str) -> String {
    format!("MountVolume.SetUp failed for volume \"v\" : {object} not found")
}

/// A pod that a node is preparing.
fn preparing() -> Value {
    let waiting = json!({"name": "w", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}}});
    json!({"phase": "Pending", "containerStatuses": [waiting],
        "conditions": [{"type": "PodReadyToStartContainers", "status": "False"}]})
}

fn serving(warnings: &[Arc<Event>]) -> Case {
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
    case.observed.pods = vec![Arc::new(pod("p0", preparing()))];
    case.observed.warnings = warnings.to_vec();
    case
}

#[track_caller]
fn says(case: &Case, type_: &str, starts: &str) {
    let case = case.clone().edit(|workspace| workspace.status = None);
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![]);
    let says = condition(&plan, type_);
    assert!(says.starts_with(starts), "{says}");
}

#[test]
fn each_warning_has_its_reason_and_names_the_object() {
    let check = |reason: &str, message: &str, starts: &str| {
        let case = serving(&[warning("uid-of-p0", reason, message, 0)]);
        says(&case, "InferenceReady", starts);
    };
    check(
        "FailedMount",
        &mount("configmap \"settings\""),
        "False/ConfigMapNotFound: pod p0 needs what does not exist: ConfigMap settings. Create the ConfigMap",
    );
    check(
        "FailedMount",
        &mount("secret \"token\""),
        "False/SecretNotFound: pod p0 needs what does not exist: Secret token. Create the Secret",
    );
    check(
        "FailedMount",
        "MountVolume.SetUp failed for volume \"v\" : mount failed: exit status 32",
        "False/VolumeMountFailed: pod p0 cannot mount a volume: MountVolume.SetUp failed for volume \"v\"",
    );
    check(
        "FailedAttachVolume",
        "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) other",
        "False/VolumeAttachFailed: pod p0 cannot get a volume attached: Multi-Attach error",
    );
    check(
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox",
        "False/PodSandboxFailed: pod p0 gets no network or sandbox: Failed to create pod sandbox",
    );
    check(
        "FailedSomethingElse",
        "text",
        "False/WorkspaceInferenceStatusPending: the weights are being downloaded",
    );
}

#[test]
fn all_missing_objects_are_named_and_summaries_are_not() {
    let case = serving(&[
        warning(
            "uid-of-p0",
            "FailedMount",
            "Unable to attach or mount volumes: timed out waiting for the condition",
            300,
        ),
        warning("uid-of-p0", "FailedMount", &mount("secret \"b\""), 200),
        warning("uid-of-p0", "FailedMount", &mount("configmap \"a\""), 100),
        warning("uid-of-other", "FailedMount", &mount("configmap \"c\""), 100),
    ]);
    let expected = "False/ConfigMapNotFound: pod p0 needs what does not exist: ConfigMap a, Secret b. Create";
    says(&case, "InferenceReady", expected);
    // One that is no longer repeated was mended.
    let mended = serving(&[
        warning("uid-of-p0", "FailedMount", &mount("configmap \"a\""), 0),
        warning("uid-of-p0", "FailedMount", &mount("secret \"b\""), 2000),
    ]);
    let expected = "False/SecretNotFound: pod p0 needs what does not exist: Secret b. Create";
    says(&mended, "InferenceReady", expected);
}

#[test]
fn a_pod_whose_volumes_are_mounted_is_past_its_warnings() {
    let warnings = [warning("uid-of-p0", "FailedMount", &mount("configmap \"a\""), 0)];
    let with = |change: &dyn Fn(&mut Value)| {
        let mut status = preparing();
        change(&mut status);
        let mut case = serving(&warnings);
        case.observed.pods = vec![Arc::new(pod("p0", status))];
        says(&case, "InferenceReady", "False/WorkspaceInferenceStatusPending");
    };
    with(&|status| status["conditions"][0]["status"] = "True".into());
    with(&|status| status["phase"] = "Succeeded".into());
    with(&|status| {
        status["conditions"] = json!([]);
        status["containerStatuses"][0]["state"] = json!({"running": {}});
    });
}

#[test]
fn a_warning_that_is_repeated_is_written_once() {
    let network = |id: u32| {
        format!("Failed to create pod sandbox: failed to setup network for sandbox \"{id}ab\": no route")
    };
    let mut case = serving(&[]);
    let set = |case: &mut Case, message: &str, at| {
        case.observed.warnings = vec![warning("uid-of-p0", "FailedCreatePodSandBox", message, at)];
    };
    set(&mut case, &network(1), 0);
    let mut case = case.stored();
    assert_eq!(case.plan().status, None);
    set(&mut case, &network(2), 120);
    assert_eq!(case.plan().status, None);
    set(&mut case, "Failed to create pod sandbox: no such runtime", 240);
    assert_ne!(case.plan().status, None);
}

#[test]
fn pods_that_a_set_or_a_job_cannot_create_are_shown_until_they_exist() {
    let mut case = Case::tuning().with_nodes(1, 1).stored();
    let refused = "Error creating: pods \"w-x7k2p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0";
    case.observed.warnings = vec![warning("uid-of-Job-w", "FailedCreate", refused, 0)];
    let expected = "False/ResourceQuotaExceeded: the pods of Job w cannot be created: exceeded quota: q, requested: pods=1, limited";
    says(&case, "JobStarted", expected);
    let mut stored = case.clone().stored();
    let again = refused.replace("x7k2p", "b9c4d");
    stored.observed.warnings = vec![warning("uid-of-Job-w", "FailedCreate", &again, 60)];
    assert_eq!(stored.plan().status, None);
    case.observed.pods = vec![Arc::new(job_pod("w-1", preparing()))];
    says(&case, "JobStarted", "False/WorkspaceTuningJobStatusPending");

    let mut case = Case::serving("llama-3.3-70b-instruct").with_nodes(3, 1).stored();
    let webhook = "create Pod w-0 in StatefulSet w failed error: admission webhook \"policy.example.com\" denied the request: no";
    case.observed.warnings = vec![warning("uid-of-StatefulSet-w", "FailedCreate", webhook, 0)];
    let expected =
        "False/AdmissionWebhookDenied: the pods of StatefulSet w cannot be created: create Pod w-0";
    says(&case, "InferenceReady", expected);
}

#[test]
fn a_pull_secret_that_does_not_exist_is_named() {
    let status = |message: &str| {
        json!({"containerStatuses": [{"name": "w", "image": "example.com/m:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": message}}}]})
    };
    let text =
        "Unable to retrieve some image pull secrets (pull); attempting to pull the image may not succeed.";
    let check = |message: &str, expected: &str| {
        let mut case = serving(&[warning("uid-of-p0", "FailedToRetrieveImagePullSecret", text, 0)]);
        case.observed.pods = vec![Arc::new(pod("p0", status(message)))];
        says(&case, "InferenceReady", expected);
    };
    check(
        "401 Unauthorized",
        "False/SecretNotFound: container w of pod p0 cannot get its image example.com/m:1: Secret pull for the registry does not exist",
    );
    check("manifest unknown", "False/ImageNotFound");
}

#[test]
fn what_a_container_or_the_scheduler_misses_is_named() {
    let waiting = json!({"containerStatuses": [{"name": "w", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "couldn't find key HF_TOKEN in Secret default/hf"}}}]});
    let mut case = serving(&[]);
    case.observed.pods = vec![Arc::new(pod("p0", waiting))];
    let expected = "False/SecretNotFound: container w of pod p0 needs what does not exist: key HF_TOKEN of Secret hf. Create";
    says(&case, "InferenceReady", expected);
    let unbound = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: persistentvolumeclaim \"data\" not found. no"}]});
    case.observed.pods = vec![Arc::new(pod("p0", unbound))];
    let expected = "False/PersistentVolumeClaimNotFound: pod p0 needs what does not exist: PersistentVolumeClaim data. Create";
    says(&case, "InferenceReady", expected);
}
