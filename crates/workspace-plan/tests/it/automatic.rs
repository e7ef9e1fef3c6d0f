//! Automatic upgrades, as the planner carries out the answers of the queue.

use jiff::{SignedDuration, Timestamp};
use plan::{Manifest, Write};
use workspace_plan::{AutomaticUpgrades, Turn, UpgradeWindow, Upgrades};

use crate::case::{Case, actions, condition};

/// A model that serves, and another base image.
fn waiting(turn: Turn) -> Case {
    let case = Case::serving("phi-4").with_nodes(1, 1).stored().stored();
    let mut case = case.answering().stored();
    let (days, start) = ("Sat,Sun".parse().unwrap(), "02:00".parse().unwrap());
    case.settings.images.base = "example.com/base:2".to_owned();
    case.settings.upgrades = Upgrades::Automatic(AutomaticUpgrades {
        window: UpgradeWindow::new(days, start, SignedDuration::from_hours(4)),
        timeout: SignedDuration::from_hours(1),
    });
    case.observed.turn = turn;
    case
}

fn says(case: &Case) -> String {
    // A plan without a status keeps the old one.
    match case.plan().status {
        Some(_) => condition(&case.plan(), "WorkspaceReady"),
        None => case.stored_message(),
    }
}

/// Times of the marks, by revision number.
fn marks(case: &Case) -> Vec<(Option<i64>, bool)> {
    let revisions = case.observed.revisions.iter();
    let mut marks: Vec<_> = revisions
        .map(|revision| {
            let annotations = revision.metadata.annotations.as_ref().unwrap();
            (
                revision.revision,
                annotations.contains_key("kaito.sh/automatic-upgrade"),
            )
        })
        .collect();
    marks.sort_unstable();
    marks
}

fn rolls(case: &Case) -> bool {
    let is_roll = |write: &Write| matches!(write, Write::Apply(manifest) if matches!(**manifest, Manifest::Deployment(_)));
    case.plan().writes.iter().any(is_roll)
}

#[test]
fn a_turn_upgrades_and_its_mark_stays_until_the_model_serves() {
    let case = waiting(Turn::Yours);
    assert_eq!(
        actions(&case.plan()),
        ["apply ControllerRevision", "apply Deployment"]
    );
    let mut case = case.stored().stored();
    assert_eq!(marks(&case), [(Some(1), false), (Some(2), true)]);
    assert!(case.plan().is_noop(), "a turn is taken once: {:?}", case.plan());
    case.observed.turn = Turn::None;
    let case = case.answering();
    assert_eq!(actions(&case.plan()), ["apply ControllerRevision"]);
    let case = case.stored().stored();
    assert_eq!(marks(&case), [(Some(1), false), (Some(2), false)]);
    assert!(case.plan().is_noop());
}

#[test]
fn pods_of_the_last_template_are_not_yet_the_upgrade() {
    let before = waiting(Turn::Yours);
    let old = before.observed.workloads.deployment.clone().unwrap();
    let mut case = before.stored();
    let deployment = std::sync::Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    deployment.status = old.status.clone();
    deployment.status.as_mut().unwrap().updated_replicas = None;
    let case = case.stored().stored();
    assert_eq!(marks(&case), [(Some(1), false), (Some(2), true)]);
}

#[test]
fn a_model_that_waits_says_for_what() {
    for (turn, part) in [
        (
            Turn::Closed(None),
            "automatic upgrades begin Sat,Sun 02:00 UTC for 240 minutes",
        ),
        (Turn::Waits(None), "another model is upgraded first"),
        (
            Turn::Stopped,
            "UpgradesStopped: the automatic upgrade of another model failed",
        ),
        (Turn::None, "example.com/base:2."),
    ] {
        let case = waiting(turn);
        assert_eq!(actions(&case.plan()), [""; 0]);
        let says = says(&case);
        assert!(
            says.contains("UpgradeAvailable: ") && says.to_lowercase().contains(&part.to_lowercase()),
            "{says}"
        );
        assert!(case.stored().plan().is_noop());
    }
}

#[test]
fn the_planner_looks_again_when_the_answer_may_change() {
    let mut case = waiting(Turn::None);
    case.observed.turn = Turn::Closed(Some(case.now + SignedDuration::from_mins(7)));
    assert_eq!(case.plan().requeue.map(|time| time.as_secs()), Some(420));
    // The clock of the queue may be behind.
    case.observed.turn = Turn::Waits(Some(case.now));
    assert_eq!(case.plan().requeue.map(|time| time.as_secs()), Some(1));
}

#[test]
fn a_model_that_returned_to_a_revision_stays_there() {
    let case = waiting(Turn::None);
    let name = case.observed.revisions[0].metadata.name.clone().unwrap();
    let mut case = case.annotated("kaito.sh/rollback-to", &name).stored().stored();
    case.observed.turn = Turn::Yours;
    assert!(!rolls(&case));
    assert!(
        says(&case).contains("it waits until kaito.sh/rollback-to is removed"),
        "{}",
        says(&case)
    );
}

#[test]
fn a_failed_upgrade_says_so_and_its_mark_outlives_the_return() {
    let mut case = waiting(Turn::Yours);
    let first = case.observed.revisions[0].metadata.name.clone().unwrap();
    case = case.stored();
    case.observed.turn = Turn::None;
    assert_eq!(case.plan().requeue.map(|time| time.as_secs()), Some(3600));
    assert!(!says(&case).contains("UpgradeFailed"));
    let began: Timestamp = case.now;
    case.now = began + SignedDuration::from_hours(1);
    assert!(says(&case).contains("UpgradeFailed: "), "{}", says(&case));
    // The other models wait until a person has looked at it.
    let case = case.annotated("kaito.sh/rollback-to", &first).stored().stored();
    let case = case.answering().stored().stored();
    assert!(!says(&case).contains("UpgradeFailed"));
    assert_eq!(marks(&case), [(Some(2), true), (Some(3), false)]);
    let case = case.edit(|workspace| {
        let annotations = workspace.metadata.annotations.as_mut().unwrap();
        annotations.remove("kaito.sh/rollback-to");
    });
    let case = case.stored().stored();
    assert_eq!(marks(&case), [(Some(2), false), (Some(3), false)]);
    assert!(case.plan().is_noop());
}

#[test]
fn a_changed_workspace_ends_the_upgrade_once_it_serves() {
    let mut case = waiting(Turn::Yours).stored();
    case.observed.turn = Turn::None;
    let case = case
        .annotated("kaito.sh/max-context-tokens", "1024")
        .stored()
        .stored();
    assert_eq!(
        marks(&case),
        [(Some(1), false), (Some(2), true), (Some(3), false)]
    );
    let case = case.answering().stored().stored();
    assert_eq!(
        marks(&case),
        [(Some(1), false), (Some(2), false), (Some(3), false)]
    );
}
