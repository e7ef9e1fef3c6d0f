//! Volumes that keep the weights, of a storage class that the annotation or the installation names.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::{Value, json};
use workspace_plan::WeightsClaim;

use crate::case::{Case, actions, condition};
use crate::objects::{parse, pod};

const ANNOTATION: &str = "kaito.sh/weights-storage-class";
const SET: &str = "uid-of-StatefulSet-w";
const CONFLICT: &str = "0/2 nodes are available: 2 node(s) had volume node affinity conflict.";

fn serving(class: &str) -> Case {
    Case::serving("phi-4")
        .annotated(ANNOTATION, class)
        .with_nodes(1, 1)
}

/// The claim for the volume of the only pod, made by the StatefulSet of this UID.
fn claim(set: &str, phase: &str, node_is_gone: bool) -> WeightsClaim {
    let claim: PersistentVolumeClaim = parse(json!({
        "metadata": {"name": "model-weights-volume-w-0", "namespace": "default", "uid": "c", "resourceVersion": "3",
            "annotations": {"volume.kubernetes.io/selected-node": "n"}, "labels": {"kaito.sh/workspace": "w"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "w", "uid": set}]},
        "spec": {"storageClassName": "fast"}, "status": {"phase": phase},
    }));
    WeightsClaim {
        claim: Arc::new(claim),
        node_is_gone,
    }
}

fn pod_of_set(status: Value) -> Pod {
    let mut pod = pod("w-0", status);
    pod.metadata.owner_references.as_mut().unwrap()[0].uid = SET.to_owned();
    pod
}

fn unschedulable(message: &str) -> Value {
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

fn applied(case: &Case, kind: &str) -> Value {
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![]);
    let mut objects = plan.writes.iter().filter_map(|write| match write {
        plan::Write::Apply(object) => Some(object.to_value()),
        _ => None,
    });
    objects.find(|object| object["kind"] == kind).unwrap_or_default()
}

/// A warning about the claim or its pod.
fn warned(case: &mut Case, uid: &str, reason: &str, message: &str) {
    case.observed.warnings = vec![Arc::new(parse(json!({
        "metadata": {}, "involvedObject": {"uid": uid}, "type": "Warning", "reason": reason, "message": message,
    })))];
}

#[test]
fn a_class_makes_a_stateful_set_with_a_volume_for_its_pod() {
    let set = applied(&serving("fast"), "StatefulSet");
    let template = &set["spec"]["volumeClaimTemplates"][0];
    assert_eq!(template["spec"]["storageClassName"], "fast");
    // 27.3 GiB are downloaded, and an eighth and two more are kept free.
    assert_eq!(template["spec"]["resources"]["requests"]["storage"], "34Gi");
    let retention = &set["spec"]["persistentVolumeClaimRetentionPolicy"];
    assert_eq!(
        *retention,
        json!({"whenDeleted": "Delete", "whenScaled": "Delete"})
    );
    let pod = &set["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(
        volumes
            .iter()
            .all(|volume| volume["name"] != "model-weights-volume"),
        "{volumes:?}"
    );
    assert_eq!(pod["initContainers"][0]["name"], "weights");
    // One node: the engine is the same as in a Deployment.
    assert!(pod["containers"][0]["readinessProbe"]["httpGet"].is_object());

    let mut case = serving("none");
    case.settings.serving.weights_class = Some("slow".to_owned());
    assert_ne!(applied(&case, "Deployment"), Value::Null);
    let mut case = Case::serving("phi-4").with_nodes(1, 1);
    case.settings.serving.weights_class = Some("slow".to_owned());
    let set = applied(&case, "StatefulSet");
    let class = &set["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"];
    assert_eq!(*class, "slow");
    // An image with the weights needs no volume.
    let case = case.annotated("kaito.sh/weights-image", "r.example.com/phi-4:v1");
    assert_ne!(applied(&case, "Deployment"), Value::Null);
}

#[test]
fn what_has_no_effect_is_rejected() {
    let check = |case: Case, words: &str| {
        let says = condition(&case.plan(), "WorkspaceReady");
        assert!(says.contains("InvalidSpec") && says.contains(words), "{says}");
    };
    check(
        serving("Fast Disk"),
        "must be the name of a storage class, or none",
    );
    let image = ("kaito.sh/weights-image", "r.example.com/phi-4:v1");
    check(
        serving("fast").annotated(image.0, image.1),
        "has no effect beside kaito.sh/weights-image",
    );
}

#[test]
fn another_class_makes_the_set_again() {
    let mut case = serving("fast").stored().stored();
    case.observed.weights_claims = vec![claim(SET, "Bound", false)];
    assert_eq!(actions(&case.plan()), [""; 0]);
    case = case.annotated(ANNOTATION, "other");
    assert_eq!(actions(&case.plan()), ["delete StatefulSet w"]);
    case = case.stored();
    // The next set would take the volumes that are being deleted.
    assert_eq!(actions(&case.plan()), ["apply ControllerRevision"]);
    case = case.stored();
    assert_eq!(actions(&case.plan()), [""; 0]);
    case.observed.weights_claims.clear();
    assert_eq!(actions(&case.plan()), ["apply StatefulSet"]);
    case = case.stored().annotated(ANNOTATION, "none");
    assert_eq!(actions(&case.plan()), ["delete StatefulSet w"]);
    assert_ne!(applied(&case.stored(), "Deployment"), Value::Null);
}

#[test]
fn a_volume_on_a_node_that_is_gone_is_replaced() {
    let mut case = serving("fast").stored().stored();
    let deletes = |case: &Case| actions(&case.plan()) == ["delete StatefulSet w"];
    case.observed.pods = vec![Arc::new(pod_of_set(unschedulable(CONFLICT)))];
    // A node that exists may come back, and a volume of another owner is not ours.
    for kept in [claim(SET, "Bound", false), claim("other", "Bound", true)] {
        case.observed.weights_claims = vec![kept];
        assert!(!deletes(&case), "{:?}", actions(&case.plan()));
    }
    case.observed.weights_claims = vec![claim(SET, "Bound", true)];
    let plan = case.plan();
    assert!(deletes(&case), "{:?}", actions(&plan));
    let says = condition(&plan, "InferenceReady");
    let expected = "False/WeightsVolumeLost: PersistentVolumeClaim model-weights-volume-w-0 with the weights was on node n, which is gone";
    assert!(says.starts_with(expected), "{says}");
    // A disk of the network follows the pod, which waits for another reason.
    let room = "0/2 nodes are available: 2 Insufficient cpu.";
    case.observed.pods = vec![Arc::new(pod_of_set(unschedulable(room)))];
    assert!(!deletes(&case));
    // The next node has the name of the last one, without the volume.
    case.observed.pods = vec![Arc::new(pod_of_set(json!({"phase": "Pending"})))];
    assert!(!deletes(&case));
    let message =
        "MountVolume.NewMounter initialization failed for volume \"pv\" : path \"/mnt/pv\" does not exist";
    warned(&mut case, "uid-of-w-0", "FailedMount", message);
    assert!(deletes(&case));
}

#[test]
fn a_volume_that_is_not_provided_is_named() {
    let mut case = serving("fast").stored().stored();
    case.observed.weights_claims = vec![claim(SET, "Pending", false)];
    case.observed.pods = vec![Arc::new(pod_of_set(unschedulable("pod has unbound claims")))];
    let says = condition(&case.plan(), "InferenceReady");
    assert!(says.starts_with("False/Unschedulable"), "{says}");
    let missing = "storageclass.storage.k8s.io \"fast\" not found";
    warned(&mut case, "c", "ProvisioningFailed", missing);
    let says = condition(&case.plan(), "InferenceReady");
    let expected = "False/StorageClassNotFound: PersistentVolumeClaim model-weights-volume-w-0 needs what does not exist: StorageClass fast";
    assert!(says.starts_with(expected), "{says}");
    warned(&mut case, "c", "ProvisioningFailed", "no disk is free");
    let says = condition(&case.plan(), "InferenceReady");
    let expected = "False/WeightsVolumePending: PersistentVolumeClaim model-weights-volume-w-0 of storage class fast has no volume for the weights: no disk is free";
    assert!(says.starts_with(expected), "{says}");
}
