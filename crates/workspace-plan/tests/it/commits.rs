//! The commit of a model: named, pinned, or fixed at the first use.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use plan::{Plan, Write};
use preset_catalog::Preset;
use serde_json::{Value, json};
use workspace_plan::PresetLookup;

use crate::case::{Case, actions, condition};
use crate::objects;

/// A preset that is not pinned, served and tuned.
const UNPINNED: &str = "smollm2-360m-instruct";
const KEY: &str = "kaito.sh/model-revision";

fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

/// With the preset as the registry gives it, and this commit at the head of its branch.
fn at_head(mut case: Case, head: Option<char>) -> Case {
    let preset = Preset {
        head: head.map(commit),
        revision: None,
        ..Preset::clone(&objects::preset(UNPINNED))
    };
    case.observed.preset = PresetLookup::Found(Arc::new(preset));
    case
}

fn serving(head: Option<char>) -> Case {
    at_head(Case::serving(UNPINNED), head).with_nodes(1, 1)
}

fn running(head: Option<char>) -> Case {
    let case = serving(head).stored().stored().answering().stored();
    assert!(case.plan().is_noop(), "{:?}", case.plan());
    case
}

fn tuning(head: Option<char>) -> Case {
    let mut case = Case::tuning_of(UNPINNED);
    let mut value = objects::tuning();
    value["tuning"]["preset"]["name"] = json!(UNPINNED);
    value["tuning"]["method"] = json!("lora");
    case.observed.workspace = Arc::new(objects::parse(value));
    at_head(case, head).with_nodes(1, 1)
}

fn used(case: &Case) -> Option<String> {
    let workloads = &case.observed.workloads;
    let of_deployment =
        |object: &Arc<k8s_openapi::api::apps::v1::Deployment>| object.spec.template.spec.clone();
    let of_job = |object: &Arc<k8s_openapi::api::batch::v1::Job>| object.spec.as_ref()?.template.spec.clone();
    let deployment = workloads.deployment.as_ref().and_then(of_deployment);
    let pod: PodSpec = deployment
        .or_else(|| workloads.job.as_ref().and_then(of_job))
        .unwrap();
    render::commit_in(&pod).unwrap().map(str::to_owned)
}

fn status(plan: &Plan) -> Value {
    plan.status.as_ref().unwrap()["modelRevision"].clone()
}

fn stored_status(case: &Case) -> Value {
    serde_json::to_value(&case.observed.workspace.status.as_ref().unwrap().model_revision).unwrap()
}

/// Without the workload, as after its deletion. The revisions stay.
fn without_workload(mut case: Case) -> Case {
    case.observed.workloads.deployment = None;
    case.observed.workloads.job = None;
    case.observed.pods = Vec::new();
    case
}

#[test]
fn the_head_of_the_first_use_stays() {
    for start in [serving, tuning] {
        let first = start(Some('a'));
        assert_eq!(
            status(&first.plan()),
            json!({"commit": commit('a'), "source": "FirstUse"})
        );
        let case = first.stored().stored();
        assert_eq!(used(&case), Some(commit('a')));
        for head in [Some('b'), None] {
            let moved = at_head(case.clone(), head);
            assert!(moved.plan().writes.is_empty(), "{:?}", moved.plan());
            // Also for another workload, by a controller that remembers nothing.
            let again = without_workload(moved).stored().stored();
            assert_eq!(used(&again), Some(commit('a')));
            assert_eq!(
                stored_status(&again),
                json!({"commit": commit('a'), "source": "FirstUse"})
            );
        }
        // And for a changed Workspace whose status is lost.
        let changed = at_head(case, Some('b')).edit(|workspace| {
            workspace.status = None;
            workspace.spec.resource.as_mut().unwrap().preferred_nodes = vec!["n".to_owned()];
        });
        let changed = without_workload(changed).stored().stored();
        assert_eq!(used(&changed), Some(commit('a')));
    }
}

#[test]
fn the_commit_is_recorded_before_the_workload_is_written() {
    for start in [serving, tuning] {
        let does = actions(&start(Some('a')).plan());
        let at = |what: &str| does.iter().position(|action| action.starts_with(what));
        let workload = at("apply Deployment").or_else(|| at("apply Job")).unwrap();
        assert!(at("apply ControllerRevision").unwrap() < workload, "{does:?}");
    }
}

#[test]
fn an_upgrade_takes_the_newer_commit() {
    let case = at_head(running(Some('a')), Some('b'));
    let says = condition(&case.plan(), "WorkspaceReady");
    let difference = format!("{} -> {}", commit('a'), commit('b'));
    assert!(
        says.contains("UpgradeAvailable: ") && says.contains(&difference),
        "{says}"
    );
    let case = case.stored().annotated("kaito.sh/upgrade", "1").stored().stored();
    assert_eq!(used(&case), Some(commit('b')));
    let case = case.answering().stored();
    assert!(!case.stored_message().contains("UpgradeAvailable"));
    // One value upgrades once.
    let next = at_head(case, Some('c')).stored();
    assert_eq!(used(&next.stored()), Some(commit('b')));
}

#[test]
fn an_upgrade_while_the_hub_is_down_keeps_the_commit() {
    let case = at_head(running(Some('a')), None);
    let case = case.annotated("kaito.sh/upgrade", "1").stored().stored();
    assert_eq!(used(&case), Some(commit('a')));
    let case = at_head(case, Some('b')).stored();
    assert_eq!(used(&without_workload(case).stored().stored()), Some(commit('a')));
}

#[test]
fn the_annotation_names_the_commit() {
    for start in [serving, tuning] {
        let case = start(Some('a')).annotated(KEY, &commit('c')).stored().stored();
        assert_eq!(used(&case), Some(commit('c')));
        assert_eq!(
            stored_status(&case),
            json!({"commit": commit('c'), "source": "Annotation"})
        );
        let records = case.observed.revisions.iter();
        let mut records = records.filter(|object| object.revision == Some(0));
        assert!(records.next().is_none(), "it needs no record");
    }
    // A change of it is a change of the Workspace.
    let case = running(Some('a')).annotated(KEY, &commit('c')).stored().stored();
    assert_eq!(used(&case), Some(commit('c')));
    let case = at_head(case, Some('d')).edit(|workspace| {
        workspace.metadata.annotations.as_mut().unwrap().remove(KEY);
    });
    assert_eq!(
        used(&case.stored().stored()),
        Some(commit('a')),
        "that of the first use"
    );
    // It wins over the preset's pin.
    let pinned = Case::serving("phi-4")
        .with_nodes(1, 1)
        .annotated(KEY, &commit('c'));
    assert_eq!(used(&pinned.stored().stored()), Some(commit('c')));
}

#[test]
fn the_annotation_does_not_change_a_job() {
    let case = tuning(Some('a')).stored().stored();
    let edited = case.annotated(KEY, &commit('c'));
    assert!(edited.plan().writes.is_empty(), "{:?}", edited.plan());
    let says = condition(&edited.plan(), "WorkspaceReady");
    assert!(says.contains("UpdateBlocked") && says.contains(KEY), "{says}");
}

#[test]
fn a_malformed_or_useless_annotation_is_refused() {
    for wrong in ["main", "abc", &commit('A'), &"a".repeat(64)] {
        let case = serving(Some('a')).annotated(KEY, wrong);
        let says = condition(&case.plan(), "ResourceReady");
        assert!(
            says.contains("40 digits") && case.plan().writes.is_empty(),
            "{wrong}: {says}"
        );
    }
    let template = json!({"name": "c", "image": "example.com/i:1"});
    let case = Case::new(objects::template(template), PresetLookup::NotNeeded).with_nodes(1, 1);
    let says = condition(&case.annotated(KEY, &commit('a')).plan(), "ResourceReady");
    assert!(says.contains("has no effect"), "{says}");
    let image = serving(Some('a')).annotated("kaito.sh/weights-image", "example.com/weights:1");
    let stored = image.clone().stored().stored();
    assert!(stored_status(&stored).is_null() && stored.observed.revisions.len() == 1);
    let says = condition(&image.annotated(KEY, &commit('a')).plan(), "ResourceReady");
    assert!(says.contains("are in an image"), "{says}");
    let says = condition(
        &Case::tuning().annotated(KEY, &commit('a')).plan(),
        "ResourceReady",
    );
    assert!(says.contains("are in an image"), "{says}");
}

#[test]
fn an_unknown_head_is_shown_as_unpinned() {
    let case = running(None);
    assert_eq!(used(&case), None);
    assert_eq!(stored_status(&case), json!({"source": "Unpinned"}));
    let records = case.observed.revisions.iter();
    assert!(!records.into_iter().any(|object| object.revision == Some(0)));
    // What serves is not restarted when the hub answers.
    let case = at_head(case, Some('a'));
    let is_about_workload = |write: &Write| format!("{write:?}").contains("Deployment(");
    let mut workloads = case.plan().writes;
    workloads.retain(is_about_workload);
    assert!(
        workloads
            .iter()
            .all(|write| format!("{write:?}").contains("ControllerRevision")),
        "{workloads:?}"
    );
    assert_eq!(used(&case.stored().stored()), None);
}

#[test]
fn a_pinned_preset_is_recorded_nowhere_else() {
    let case = Case::serving("phi-4").with_nodes(1, 1).stored().stored();
    let pin = objects::preset("phi-4").revision.clone();
    assert_eq!(used(&case), pin);
    assert_eq!(stored_status(&case), json!({"commit": pin, "source": "Preset"}));
    assert_eq!(case.observed.revisions.len(), 1);
}

#[test]
fn the_code_of_a_model_has_its_commit() {
    let catalog = preset_catalog::Catalog::embedded().unwrap();
    let runs_code = |preset: &&Preset| {
        preset
            .inference
            .as_ref()
            .is_some_and(|profile| profile.trust_remote_code)
    };
    let presets: Vec<&Preset> = catalog.iter().filter(runs_code).collect();
    assert!(presets.iter().all(|preset| preset.revision.is_some()) && !presets.is_empty());
    let mut checked = 0;
    for preset in presets {
        let case = Case::serving(&preset.name).on("Standard_ND96isr_H100_v5");
        let plan = case.with_nodes(4, 8).stored().plan();
        let text = serde_json::to_string(&format!("{:?}", plan.writes)).unwrap();
        if !text.contains("--trust-remote-code") {
            continue;
        }
        checked += 1;
        for flag in ["--revision", "--code-revision"] {
            let flag = format!("{flag}={}", preset.revision.as_ref().unwrap());
            assert!(text.contains(&flag), "{}: {flag}", preset.name);
        }
    }
    assert!(checked > 0);
}
