//! Weights in an image, which the annotation names.

use std::sync::Arc;

use kaito_api::ClaimKind;
use serde_json::{Value, json};

use crate::case::{Case, condition};
use crate::objects::pod;

const ANNOTATION: &str = "kaito.sh/weights-image";
const IMAGE: &str = "r.example.com/weights/phi-4:v1";

fn annotated(name: &str, image: &str) -> Case {
    Case::serving(name).annotated(ANNOTATION, image)
}

/// The one write of this kind, as JSON.
fn written(case: &Case, kind: &str) -> Value {
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![]);
    let objects = plan.writes.iter().filter_map(|write| match write {
        plan::Write::Apply(object) => Some(object.to_value()),
        _ => None,
    });
    let mut found = objects.filter(|object| object["kind"] == kind);
    found.next().unwrap_or_default()
}

#[test]
fn the_pod_mounts_the_image_or_pulls_it() {
    let mut case = annotated("phi-4", IMAGE).with_nodes(1, 1);
    let spec = written(&case, "Deployment")["spec"]["template"]["spec"].clone();
    let image = json!({"reference": IMAGE, "pullPolicy": "IfNotPresent"});
    let volumes = spec["volumes"].as_array().unwrap();
    assert!(
        volumes.iter().any(|volume| volume["image"] == image),
        "{volumes:?}"
    );
    let steps = spec["initContainers"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["name"] != "weights"), "{steps:?}");

    case.settings.image_volumes = false;
    let spec = written(&case, "Deployment")["spec"]["template"]["spec"].clone();
    let step = &spec["initContainers"][0];
    assert_eq!(step["name"], "weights");
    assert_eq!(step["args"], json!(["pull", "--to=/workspace/weights", IMAGE]));
}

#[test]
fn another_text_buys_nothing() {
    let case = annotated("phi-4", "https://r.example.com/phi-4");
    let plan = case.plan();
    let says = condition(&plan, "WorkspaceReady");
    assert!(
        says.contains("kaito.sh/weights-image is \"https://r.example.com/phi-4\" and must be an image"),
        "{says}"
    );
    assert_eq!(written(&case, "Machine"), Value::Null);
}

#[test]
fn a_gated_model_needs_no_token() {
    let gated = |image: &str| {
        annotated("llama-3.1-8b-instruct", image).edit(|workspace| {
            let inference = workspace.spec.inference.as_mut().unwrap();
            inference.preset.as_mut().unwrap().preset_options = Default::default();
        })
    };
    let says = condition(&gated(IMAGE).plan(), "WorkspaceReady");
    assert!(!says.contains("ModelAccessSecretMissing"), "{says}");
    let says = condition(&gated("").plan(), "WorkspaceReady");
    assert!(says.contains("ModelAccessSecretMissing"), "{says}");
}

#[test]
fn the_disk_of_a_node_has_room_for_the_layers_of_a_volume() {
    let disk = |case: Case| {
        let claim = written(&case.claiming(ClaimKind::Machine), "Machine");
        claim["spec"]["resources"]["requests"]["storage"].clone()
    };
    let mut pulled = annotated("phi-4", IMAGE);
    pulled.settings.image_volumes = false;
    let of_hub = disk(Case::serving("phi-4"));
    assert!(of_hub.is_string(), "{of_hub}");
    assert_eq!(disk(pulled), of_hub);
    assert_ne!(disk(annotated("phi-4", IMAGE)), of_hub);
}

/// The condition of a Workspace whose pod has this status, once its Deployment is stored.
fn status_of(status: Option<Value>) -> String {
    let mut case = annotated("phi-4", IMAGE).with_nodes(1, 1).stored();
    case = case.edit(|workspace| workspace.status = None);
    let pods = status.into_iter().map(|status| Arc::new(pod("p0", status)));
    case.observed.pods = pods.collect();
    condition(&case.plan(), "InferenceReady")
}

#[test]
fn the_status_says_which_image_is_awaited_or_refused() {
    let waiting = |reason: &str, message: &str| {
        json!({"containerStatuses": [{"name": "w", "image": "example.com/m:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}}}]})
    };
    let creating = waiting("ContainerCreating", "");
    for status in [None, Some(creating)] {
        let says = status_of(status);
        assert!(
            says.contains(": the image with the weights is being pulled"),
            "{says}"
        );
    }
    let running = json!({"containerStatuses": [{"name": "w", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"running": {}}}]});
    let says = status_of(Some(running));
    assert!(says.contains(": the model is being loaded"), "{says}");

    // The words of kubelet 1.37 with containerd 2.4.
    let message = format!("Back-off pulling image \"{IMAGE}\": ErrImagePull: {IMAGE}: not found");
    let says = status_of(Some(waiting("ImagePullBackOff", &message)));
    let expected = format!(
        "False/ImageNotFound: container w of pod p0 cannot get image {IMAGE} with the weights: the registry does not have it"
    );
    assert!(says.starts_with(&expected), "{says}");
}
