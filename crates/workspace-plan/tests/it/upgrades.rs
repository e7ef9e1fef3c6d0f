//! Revisions and upgrades on request: a new version of the operator changes no workload by itself.

use std::sync::Arc;

use plan::{Manifest, Write};
use proptest::prelude::*;
use workspace_plan::PresetLookup;

use crate::case::{Case, actions, condition};
use crate::objects;

fn running() -> Case {
    let case = Case::serving("phi-4").with_nodes(1, 1).stored().stored();
    let case = case.answering().stored();
    assert!(case.plan().is_noop(), "{:?}", case.plan());
    case
}

/// With another base image, as an upgrade of the chart would set it.
fn upgraded(mut case: Case, image: &str) -> Case {
    case.settings.images.base = image.to_owned();
    case
}

fn image(case: &Case) -> String {
    let workload = case.observed.workloads.deployment.as_ref().unwrap();
    let pod = workload.spec.template.spec.as_ref().unwrap();
    pod.containers[0].image.clone().unwrap()
}

/// Names of the revisions, the newest first.
fn revisions(case: &Case) -> Vec<String> {
    let mut all = case.observed.revisions.clone();
    all.sort_by_key(|revision| std::cmp::Reverse(revision.revision));
    all.iter()
        .map(|revision| revision.metadata.name.clone().unwrap())
        .collect()
}

fn is_about_workload(write: &Write) -> bool {
    matches!(write, Write::Apply(manifest) if matches!(**manifest, Manifest::Deployment(_) | Manifest::StatefulSet(_)))
}

#[test]
fn a_new_image_is_announced_once_and_restarts_nothing() {
    let before = running();
    let case = upgraded(before.clone(), "example.com/base:2");
    assert_eq!(actions(&case.plan()), [""; 0]);
    let says = condition(&case.plan(), "WorkspaceReady");
    let difference = format!("image: {} -> example.com/base:2", image(&before));
    assert!(says.contains("UpgradeAvailable: "), "{says}");
    assert!(says.contains(&difference), "{says}");
    assert!(says.contains("kaito.sh/upgrade"), "{says}");
    assert!(case.stored().plan().is_noop());
}

#[test]
fn a_changed_catalog_restarts_nothing() {
    let mut case = running();
    let PresetLookup::Found(preset) = &case.observed.preset else {
        panic!("no preset")
    };
    let mut preset = preset.as_ref().clone();
    preset.revision = Some("0123456789abcdef".to_owned());
    case.observed.preset = PresetLookup::Found(Arc::new(preset));
    assert_eq!(actions(&case.plan()), [""; 0]);
}

#[test]
fn a_program_that_reads_more_of_the_same_spec_restarts_nothing() {
    let mut case = upgraded(running(), "example.com/base:2");
    let workspace = Arc::make_mut(&mut case.observed.workspace);
    workspace.spec.resource.as_mut().unwrap().preferred_nodes = vec!["n".to_owned()];
    assert_eq!(actions(&case.plan()), [""; 0]);
    // The API server counts an edit, and it is a change of the Workspace.
    workspace_edited(&mut case);
    assert_eq!(
        actions(&case.plan()),
        ["apply ControllerRevision", "apply Deployment"]
    );
}

fn workspace_edited(case: &mut Case) {
    let generation = &mut Arc::make_mut(&mut case.observed.workspace).metadata.generation;
    *generation = Some(generation.unwrap_or_default() + 1);
}

#[test]
fn a_lost_revision_rolls_nothing_back() {
    let first = upgraded(running(), "example.com/base:2").annotated("kaito.sh/upgrade", "now");
    let mut case = upgraded(first.stored().stored(), "example.com/base:3");
    let newest = revisions(&case)[0].clone();
    case.observed
        .revisions
        .retain(|revision| revision.metadata.name.as_ref() != Some(&newest));
    assert_eq!(case.observed.revisions.len(), 1);
    assert_eq!(actions(&case.plan()), [""; 0]);
    assert!(condition(&case.plan(), "WorkspaceReady").contains("the revision of what runs is gone"));
    let asked = case.annotated("kaito.sh/upgrade", "again").stored().stored();
    assert_eq!(image(&asked), "example.com/base:3");
    assert!(asked.plan().is_noop());
    let mut numbers = asked.observed.revisions.iter().map(|revision| revision.revision);
    assert!(numbers.any(|number| number == Some(3)));
}

#[test]
fn a_mark_that_a_user_wrote_hides_no_revision() {
    let mut case = upgraded(running(), "example.com/base:2");
    let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    let annotations = deployment.metadata.annotations.as_mut().unwrap();
    annotations.insert("kaito.sh/revision".to_owned(), i64::MAX.to_string());
    assert_eq!(actions(&case.plan()), ["apply Deployment"]);
    assert!(case.stored().stored().plan().is_noop());
}

#[test]
fn a_request_upgrades_once() {
    let case = upgraded(running(), "example.com/base:2").annotated("kaito.sh/upgrade", "now");
    assert_eq!(
        actions(&case.plan()),
        ["apply ControllerRevision", "apply Deployment"]
    );
    let case = case.stored();
    assert_eq!(image(&case), "example.com/base:2");
    assert!(
        !case
            .clone()
            .stored()
            .stored_message()
            .contains("UpgradeAvailable")
    );
    let case = upgraded(case.answering().stored(), "example.com/base:3").stored();
    assert_eq!(
        image(&case),
        "example.com/base:2",
        "the same value asks for nothing more"
    );
    let case = case.annotated("kaito.sh/upgrade", "again").stored();
    assert_eq!(image(&case), "example.com/base:3");
    assert!(case.stored().plan().is_noop());
}

#[test]
fn a_request_before_there_is_an_upgrade_is_carried_out() {
    let case = running().annotated("kaito.sh/upgrade", "now").stored();
    let case = upgraded(case, "example.com/base:2").stored();
    assert_ne!(image(&case), "example.com/base:2");
}

#[test]
fn a_changed_workspace_is_applied_with_everything_new() {
    let case = upgraded(running(), "example.com/base:2").annotated("kaito.sh/max-context-tokens", "1024");
    assert_eq!(
        actions(&case.plan()),
        ["apply ControllerRevision", "apply Deployment"]
    );
    assert_eq!(image(&case.stored()), "example.com/base:2");
}

#[test]
fn drift_is_repaired_towards_what_was_applied() {
    let before = running();
    let mut case = upgraded(before.clone(), "example.com/base:2");
    let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    let pod = deployment.spec.template.spec.as_mut().unwrap();
    pod.containers[0].image = Some("example.com/evil:1".to_owned());
    deployment.metadata.annotations = None;
    assert_eq!(actions(&case.plan()), ["apply Deployment"]);
    assert_eq!(image(&case.stored()), image(&before));
}

#[test]
fn a_workload_whose_revisions_are_gone_stays_until_it_is_asked() {
    let mut case = upgraded(running(), "example.com/base:2");
    case.observed.revisions.clear();
    assert_eq!(actions(&case.plan()), [""; 0]);
    assert!(condition(&case.plan(), "WorkspaceReady").contains("UpgradeAvailable: "));
    let asked = case.annotated("kaito.sh/upgrade", "now").stored();
    assert_eq!(image(&asked), "example.com/base:2");
    // The same rendering is recorded again.
    let mut case = running();
    case.observed.revisions.clear();
    assert_eq!(actions(&case.plan()), ["apply ControllerRevision"]);
}

#[test]
fn the_size_of_an_unknown_workload_is_repaired() {
    let before = running();
    let mut case = upgraded(before.clone(), "example.com/base:2");
    case.observed.revisions.clear();
    let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    deployment.spec.replicas = Some(8);
    assert_eq!(actions(&case.plan()), ["patch w"]);
    let case = case.stored();
    let deployment = case.observed.workloads.deployment.as_ref().unwrap();
    assert_eq!(deployment.spec.replicas, Some(1));
    assert_eq!(image(&case), image(&before));
    assert!(case.stored().plan().is_noop());
}

#[test]
fn a_revision_is_returned_to_once() {
    let first = running();
    let name = revisions(&first)[0].clone();
    let case = upgraded(first.clone(), "example.com/base:2").annotated("kaito.sh/upgrade", "now");
    let case = case.stored().stored();
    let case = case.annotated("kaito.sh/rollback-to", &name);
    assert_eq!(
        actions(&case.plan()),
        ["apply ControllerRevision", "apply Deployment"]
    );
    let case = case.stored().stored();
    assert_eq!(
        (image(&case), revisions(&case)[0].as_str()),
        (image(&first), name.as_str())
    );
    assert!(case.plan().is_noop());
    assert!(
        case.stored_message().contains("UpgradeAvailable: "),
        "{}",
        case.stored_message()
    );
    let again = case.annotated("kaito.sh/upgrade", "now-2").stored().stored();
    assert_eq!(image(&again), "example.com/base:2");
    assert!(again.plan().is_noop());
}

#[test]
fn an_unknown_revision_is_refused_with_the_kept_ones() {
    let case = running();
    let name = revisions(&case)[0].clone();
    let case = case.annotated("kaito.sh/rollback-to", "w-nothing");
    assert_eq!(actions(&case.plan()), [""; 0]);
    let says = condition(&case.plan(), "WorkspaceReady");
    let expected =
        format!("RollbackNotPossible: revision w-nothing is not kept; revisions to return to: {name}.");
    assert!(says.contains(&expected), "{says}");
    assert!(case.stored().plan().is_noop());
}

#[test]
fn five_revisions_are_kept() {
    let mut case = running();
    for number in 0..9 {
        let asked = upgraded(case, &format!("example.com/base:{number}"));
        case = asked
            .annotated("kaito.sh/upgrade", &number.to_string())
            .stored()
            .stored();
        assert_eq!(image(&case), format!("example.com/base:{number}"));
    }
    assert_eq!(case.observed.revisions.len(), 5);
    assert!(case.plan().is_noop());
}

#[test]
fn a_revision_of_another_owner_counts_for_nothing() {
    let mut case = upgraded(running(), "example.com/base:2");
    for revision in &mut case.observed.revisions {
        let owners = Arc::make_mut(revision)
            .metadata
            .owner_references
            .as_mut()
            .unwrap();
        owners[0].uid = "uid-of-another".to_owned();
    }
    assert_eq!(actions(&case.plan()), [""; 0]);
    assert!(condition(&case.plan(), "WorkspaceReady").contains("the revision of what runs is gone"));
}

#[test]
fn a_model_that_would_change_its_kind_keeps_its_other_objects() {
    let three = Case::serving("llama-3.3-70b-instruct").with_nodes(3, 1);
    let mut case = three.stored().stored().answering().stored();
    let native = case.observed.workloads.stateful_set.is_some();
    assert!(native, "it spans nodes");
    case.observed.preset = PresetLookup::Found(objects::preset("phi-4"));
    let deleted =
        |write: &Write| matches!(write, Write::Delete(delete) if delete.target.kind != plan::Kind::Machine);
    let plan = case.plan();
    assert!(
        !plan
            .writes
            .iter()
            .any(|write| deleted(write) || is_about_workload(write)),
        "{:?}",
        plan.writes
    );
}

proptest! {
    #[test]
    fn upgrades_alone_write_to_no_workload(images in proptest::collection::vec(0_u8..4, 1..8)) {
        let mut case = running();
        let before = image(&case);
        for number in images {
            case = upgraded(case, &format!("example.com/base:{number}"));
            prop_assert!(case.plan().writes.is_empty());
            case = case.stored();
            prop_assert!(case.plan().is_noop());
            prop_assert_eq!(&image(&case), &before);
        }
    }
}
