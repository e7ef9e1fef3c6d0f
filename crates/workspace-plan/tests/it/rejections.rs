//! Rejected specs: the status names the remedy, and nothing is written or paid for.

use preset_catalog::Preset;
use serde_json::json;
use workspace_plan::PresetLookup;

use crate::case::{Case, actions, check, condition};
use crate::objects::{self, preset};

const RESOURCE: &str = "ResourceReady";

#[track_caller]
fn refused(case: &Case, starts: &str) {
    check(case, RESOURCE, starts, &[]);
    let plan = case.plan();
    assert!(condition(&plan, "WorkspaceReady").starts_with("False/workspacePending"));
    assert!(
        !plan.events.is_empty() || starts.contains("Machine"),
        "nobody is told"
    );
}

#[test]
fn every_rejection_has_its_reason_and_remedy() {
    let phi = "phi-3-mini-4k-instruct";
    let unknown = PresetLookup::Unknown {
        near: vec!["phi-4".into(), "phi-3-mini-4k-instruct".into()],
    };
    refused(
        &Case::new(objects::inference("phi-3-mini"), unknown),
        "False/PresetUnknown: there is no preset phi-3-mini; did you mean phi-4, phi-3-mini-4k-instruct? Use",
    );
    let down = PresetLookup::Unavailable {
        message: "preset registry at x: refused".into(),
        last_good: None,
    };
    refused(
        &Case::new(objects::inference(phi), down),
        "False/PresetRegistryUnavailable: preset registry at x: refused. Check the preset-registry",
    );
    let old = Preset {
        deprecated: Some("superseded".into()),
        ..(*preset(phi)).clone()
    };
    refused(
        &Case::new(objects::inference(phi), PresetLookup::Found(old.into())),
        "False/PresetDeprecated: preset phi-3-mini-4k-instruct: superseded. Choose another preset.",
    );
    refused(
        &Case::serving(phi)
            .edit(|w| w.spec.resource.as_mut().unwrap().instance_type = "Standard_NC6s_v4".into()),
        "False/InstanceTypeUnknown: instance type Standard_NC6s_v4 is not known in cloud azure; did you mean Standard_N",
    );
    refused(
        &Case::serving(phi).edit(|w| w.spec.resource.as_mut().unwrap().instance_type = String::new()),
        "False/InvalidSpec: resource.instanceType must be set",
    );
    refused(
        &Case::serving(phi)
            .edit(|w| w.spec.resource.as_mut().unwrap().instance_type = "Standard_D4s_v5".into()),
        "False/InstanceTypeUnknown: instance type Standard_D4s_v5",
    );
    refused(
        &Case::serving(phi).annotated("kaito.sh/runtime", "tgi"),
        "False/InvalidSpec: annotation kaito.sh/runtime is \"tgi\", neither vllm nor native. Correct",
    );
    refused(
        &Case::serving(phi).annotated("kaito.sh/max-context-tokens", "a lot"),
        "False/InvalidSpec: annotation kaito.sh/max-context-tokens is \"a lot\" and must be a number from 1 to 4096",
    );
    refused(
        &Case::serving("falcon-7b").edit(|w| w.spec.inference = None),
        "False/InvalidSpec: exactly one of",
    );
}

#[test]
fn gpus_without_kernels_for_the_model_are_not_paid_for() {
    let mut case = Case::serving("deepseek-v3.2")
        .edit(|w| w.spec.resource.as_mut().unwrap().instance_type = "Standard_ND96amsr_A100_v4".into());
    case.settings.engine = preset_catalog::EngineImage::UNKNOWN;
    refused(
        &case,
        "False/GPUTooOld: preset deepseek-v3.2 needs GPUs of compute capability 9.0, and Standard_ND96amsr_A100_v4 has 8.0",
    );
    let all_the_same = case.annotated("kaito.sh/bypass-resource-checks", "");
    assert!(!actions(&all_the_same.plan()).is_empty());
}

#[test]
fn the_native_runtime_does_not_waste_gpus() {
    let case = Case::serving("phi-4").annotated("kaito.sh/runtime", "native");
    refused(
        &case,
        "False/PresetUnsuitable: preset phi-4 would not use the GPUs of Standard_NC24ads_A100_v4: the runtime native \
         computes on processors",
    );
    let all_the_same = case.annotated("kaito.sh/bypass-resource-checks", "");
    assert!(actions(&all_the_same.plan()).is_empty());
    // Upstream's word for its engine on GPUs is vLLM here.
    let case = Case::serving("phi-4").annotated("kaito.sh/runtime", "transformers");
    assert!(!actions(&case.plan()).is_empty());
}

#[test]
fn labels_of_others_are_not_put_on_nodes() {
    let case = Case::serving("phi-4").edit(|w| {
        let selector = &mut w.spec.resource.as_mut().unwrap().label_selector;
        selector.match_labels =
            Some([("node-restriction.kubernetes.io/a".to_owned(), "b".to_owned())].into());
    });
    refused(
        &case,
        "False/InvalidSpec: resource.labelSelector has labels that users cannot put on nodes: node-restriction.kubernetes.io/a",
    );
}

#[test]
fn an_invalid_template_is_rejected() {
    let case = Case::new(
        objects::template(json!({"name": "server"})),
        PresetLookup::NotNeeded,
    );
    refused(
        &case,
        "False/InvalidSpec: inference.template is not a pod template: container server must have an image",
    );
}

#[test]
fn a_preset_that_cannot_be_tuned_is_rejected() {
    let found = PresetLookup::Found(preset("llama-3.3-70b-instruct"));
    let case = Case {
        observed: Case::new(objects::tuning(), found).observed,
        ..Case::tuning()
    };
    refused(
        &case,
        "False/PresetUnsuitable: preset llama-3.3-70b-instruct cannot be tuned",
    );
}

#[test]
fn a_running_workload_stays_when_its_preset_is_unknown() {
    let running = Case::serving("phi-4")
        .with_nodes(1, 1)
        .stored()
        .answering()
        .stored();
    let down = |last_good| PresetLookup::Unavailable {
        message: "no answer".into(),
        last_good,
    };
    let mut kept = running.clone();
    kept.observed.preset = down(None);
    let plan = kept.plan();
    assert_eq!(actions(&plan), [""; 0]);
    let says = condition(&plan, "WorkspaceReady");
    assert!(
        says.starts_with("True/workspaceReady: The model answers. PresetRegistryUnavailable: no answer"),
        "{says}"
    );
    assert!(plan.requeue.is_some(), "the registry is asked again");
    // The last good answer is as good as a fresh one, and the registry is named all the same.
    let mut known = running;
    known.observed.preset = down(Some(preset("phi-4")));
    assert!(condition(&known.plan(), "WorkspaceReady").contains("PresetRegistryUnavailable"));
}

#[test]
fn names_of_others_are_not_taken() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1);
    let mut foreign = case.clone().stored().observed.workloads;
    for owner in ["", "uid-of-another"] {
        let deployment = std::sync::Arc::make_mut(foreign.deployment.as_mut().unwrap());
        let owners = deployment.metadata.owner_references.as_mut().unwrap();
        owners[0].uid = owner.to_owned();
        case.observed.workloads.deployment = foreign.deployment.clone();
        check(
            &case,
            RESOURCE,
            "False/NameConflict: Deployment w belongs to an earlier Workspace of this name",
            &[],
        );
    }
    let deployment = std::sync::Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    deployment.metadata.owner_references = None;
    check(
        &case,
        RESOURCE,
        "False/NameConflict: there is a Deployment w which this Workspace did not make",
        &[],
    );
}

#[test]
fn a_gated_preset_without_a_token_buys_nothing() {
    let gated = || {
        Case::serving("llama-3.1-8b-instruct").edit(|workspace| {
            let preset = workspace.spec.inference.as_mut().unwrap().preset.as_mut();
            preset.unwrap().preset_options.model_access_secret = String::new();
        })
    };
    check(
        &gated(),
        "ResourceReady",
        "False/ModelAccessSecretMissing: preset llama-3.1-8b-instruct is gated at https://huggingface.co, and no Secret with a token is named. Create",
        &[],
    );
    // With a Secret, at a mirror, or once it runs, there is nothing to check.
    let machine = ["apply Machine"];
    assert_eq!(actions(&Case::serving("llama-3.1-8b-instruct").plan()), machine);
    let mut mirrored = gated();
    mirrored.settings.downloads.hub = "https://mirror.example.com".to_owned();
    assert_eq!(actions(&mirrored.plan()), machine);
    let running = Case::serving("llama-3.1-8b-instruct").with_nodes(1, 1).stored();
    let running = running.edit(|workspace| {
        let preset = workspace.spec.inference.as_mut().unwrap().preset.as_mut();
        preset.unwrap().preset_options.model_access_secret = String::new();
        workspace.status = None;
    });
    let says = condition(&running.plan(), "ResourceReady");
    assert!(says.starts_with("True"), "{says}");
}
