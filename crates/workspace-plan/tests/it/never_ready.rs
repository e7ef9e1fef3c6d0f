//! A model that was never ready takes a new rendering at once; one that served does not.

use std::sync::Arc;

use plan::{Kind, RefusedWrite, Verb, Write};

use crate::case::{Case, actions, condition};

const BOTH: [&str; 2] = ["apply ControllerRevision", "apply Deployment"];

/// A workload that was created, and whose pods are not ready.
fn starting() -> Case {
    let case = Case::serving("phi-4").with_nodes(1, 1).stored().stored().stored();
    assert!(case.plan().is_noop(), "{:?}", case.plan());
    case
}

/// With another base image, as an upgrade of the chart would set it.
fn mended(mut case: Case) -> Case {
    case.settings.images.base = "example.com/base:2".to_owned();
    case
}

/// With pods that are not ready any more.
fn crashed(mut case: Case) -> Case {
    let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    let status = deployment.status.as_mut().unwrap();
    (status.ready_replicas, status.available_replicas) = (None, None);
    case
}

fn has_new_image(case: &Case) -> bool {
    let workload = case.observed.workloads.deployment.as_ref().unwrap();
    let pod = workload.spec.template.spec.as_ref().unwrap();
    pod.containers[0].image.as_deref() == Some("example.com/base:2")
}

/// Number and mark of each revision.
fn marks(case: &Case) -> Vec<(i64, Option<String>)> {
    let mark = |revision: &Arc<k8s_openapi::api::apps::v1::ControllerRevision>| {
        let annotations = revision.metadata.annotations.as_ref().unwrap();
        let mark = annotations.get("kaito.sh/never-ready").cloned();
        (revision.revision.unwrap(), mark)
    };
    let mut marks: Vec<_> = case.observed.revisions.iter().map(mark).collect();
    marks.sort_unstable();
    marks
}

fn marked(number: i64, mark: &str) -> (i64, Option<String>) {
    (number, Some(mark.to_owned()))
}

#[test]
fn a_model_that_was_never_ready_takes_a_new_rendering_at_once() {
    let case = mended(starting());
    assert_eq!(marks(&case), [marked(1, "0")]);
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![]);
    assert_eq!(actions(&plan), BOTH);
    // The pods must not become ready before the write arrives.
    let Some(Write::Apply(manifest)) = plan.writes.last() else {
        panic!("{:?}", plan.writes)
    };
    assert_eq!(manifest.metadata().resource_version.as_deref(), Some("9"));
    let case = case.stored().stored();
    assert!(has_new_image(&case) && case.plan().is_noop(), "{:?}", case.plan());
    assert_eq!(marks(&case), [marked(1, "0"), marked(2, "1")]);
    let case = case.answering();
    assert_eq!(actions(&case.plan()), ["apply ControllerRevision"]);
    let case = case.stored();
    assert_eq!(marks(&case), [marked(1, "0"), (2, None)]);
    assert!(case.stored().plan().is_noop());
}

#[test]
fn a_model_that_served_once_keeps_its_rendering() {
    let served = starting().answering().stored();
    assert_eq!(marks(&served), [(1, None)]);
    // The mark is still there, and a pod is ready.
    let ready = starting().answering();
    for case in [served.clone(), crashed(served)] {
        assert_eq!(actions(&mended(case).plan()), [""; 0]);
    }
    let case = mended(ready);
    assert_eq!(actions(&case.plan()), ["apply ControllerRevision"]);
    assert!(condition(&case.plan(), "WorkspaceReady").contains("UpgradeAvailable"));
    assert_eq!(marks(&case.stored()), [(1, None)]);
}

#[test]
fn a_revision_that_was_lost_counts_as_one_that_served() {
    let mut case = starting();
    case.observed.revisions.clear();
    let case = case.stored();
    assert_eq!(marks(&case), [(1, None)]);
    assert_eq!(actions(&mended(case).plan()), [""; 0]);
}

#[test]
fn a_model_that_returned_to_a_revision_stays_there() {
    let case = starting();
    let name = case.observed.revisions[0].metadata.name.clone().unwrap();
    let case = case.annotated("kaito.sh/rollback-to", &name).stored().stored();
    assert_eq!(actions(&mended(case).plan()), [""; 0]);
}

/// The workload cannot be written, and its revision can.
fn refused(write: &Write) -> Option<RefusedWrite> {
    let target = write.target();
    (target.kind == Kind::Deployment)
        .then(|| RefusedWrite::new(Verb::Apply, target, Some(409), "it has been modified"))
}

#[test]
fn a_model_that_became_ready_meanwhile_keeps_its_rendering() {
    let case = mended(starting()).stored_but(refused);
    assert_eq!(marks(&case), [marked(1, "0"), marked(2, "1")]);
    assert!(!has_new_image(&case));
    // It is written as soon as it may be.
    assert_eq!(actions(&case.plan()), ["apply Deployment"]);
    let case = case.answering();
    assert_eq!(actions(&case.plan()), BOTH);
    let case = case.stored().answering().stored();
    assert!(
        !has_new_image(&case) && case.plan().is_noop(),
        "{:?}",
        case.plan()
    );
    assert_eq!(marks(&case), [marked(2, "1"), (3, None)]);
}

#[test]
fn a_replacement_of_a_replacement_still_depends_on_what_runs() {
    let case = mended(starting()).stored_but(refused);
    let mut case = mended(case);
    case.settings.images.base = "example.com/base:3".to_owned();
    let case = case.stored_but(refused);
    assert_eq!(marks(&case), [marked(1, "0"), marked(2, "1"), marked(3, "1")]);
    let case = case.answering().stored();
    assert_eq!(marks(&case), [marked(2, "1"), marked(3, "1"), (4, None)]);
}

#[test]
fn what_was_asked_for_is_applied_although_the_model_became_ready() {
    let case = mended(starting()).annotated("kaito.sh/upgrade", "now");
    let case = case.stored_but(refused).answering();
    assert_eq!(actions(&case.plan()), ["apply Deployment"]);
    assert!(has_new_image(&case.stored()));
}
