//! Instances that fail: the reason is read, the instance is deleted, and another is created after a pause.

use cloudprovider::{CallKind, CallOutcome, ErrorClass, InstanceState};
use kaito_api::conditions::ClaimConditionType;
use kaito_api::labels::LAUNCH_FAILURE;

use crate::fixtures::{
    Case, assert_pause, conditions, deeds, error, instance, message, new_node, node, outcome, requeue, t,
};

const PATCH: &str = "patch Machine ws0a1b2c3d4";

fn failed() -> Case {
    Case::found(instance(InstanceState::Failed))
}

fn allocation() -> cloudprovider::ProviderError {
    error(
        ErrorClass::Capacity,
        "AllocationFailed",
        "No capacity in this zone.",
    )
}

#[test]
fn the_reason_is_read_before_the_instance_is_deleted() {
    let case = failed().annotated("kaito.sh/operation-url", "https://op/1");
    assert_eq!(deeds(&case.plan()), "cloud operation https://op/1");
    let case = case.failure(allocation());
    let plan = case.plan();
    assert_eq!(deeds(&plan), format!("{PATCH}, cloud delete e1"));
    assert!(conditions(&plan).starts_with("Unknown:AllocationFailure "));
    assert!(message(&plan, "Ready").starts_with("AllocationFailed: No capacity in this zone. Nothing to do"));
    // What the cloud keeps with the instance needs no request, and survives a restart and a lost answer.
    let mut noted = instance(InstanceState::Failed);
    noted.failure = Some(allocation());
    for case in [
        Case::found(noted.clone()),
        Case::found(noted).annotated("kaito.sh/operation-url", "https://op/1"),
    ] {
        assert_eq!(deeds(&case.plan()), format!("{PATCH}, cloud delete e1"));
        assert!(conditions(&case.plan()).starts_with("Unknown:AllocationFailure "));
    }
    // The URL in memory is as good, and without any the instance's state has to do.
    let mut accepted = outcome(CallKind::Create, t(-300), None);
    accepted.operation_url = Some("https://op/2".into());
    assert_eq!(
        deeds(&failed().last(accepted).plan()),
        "cloud operation https://op/2"
    );
    let plan = failed().plan();
    assert_eq!(deeds(&plan), format!("{PATCH}, cloud delete e1"));
    assert!(conditions(&plan).starts_with("Unknown:InstanceFailed "));
}

#[test]
fn a_failed_instance_is_counted_once_and_the_pause_grows() {
    let count = |case: &Case| {
        let text = &case.observed.claim.metadata().annotations.clone().unwrap()[LAUNCH_FAILURE];
        serde_json::from_str::<serde_json::Value>(text).unwrap()["count"]
            .as_u64()
            .unwrap()
    };
    let case = failed().failure(allocation()).stored();
    assert_eq!(count(&case), 1);
    // The request to delete was refused: it is repeated, and the failure is not counted again.
    let refused = outcome(CallKind::Delete, t(1), Some(error(ErrorClass::Busy, "Busy", "")));
    let again = case.clone().last(refused).at(t(30));
    assert_eq!(deeds(&again.plan()), "cloud delete e1");
    // The instance is gone: the pause is over a minute after the failure was seen.
    let mut absent = case;
    absent.observed.instance = cloudprovider::InstanceLookup::Absent { reads: 2 };
    absent.observed.failure = None;
    absent.observed.last_call = Some(outcome(CallKind::Delete, t(1), None));
    assert_eq!(deeds(&absent.plan()), "");
    assert_pause(&absent.plan(), 60);
    assert_eq!(
        deeds(&absent.clone().at(t(75)).plan()),
        format!("{PATCH}, cloud create")
    );
    // The next instance fails too.
    let mut second = absent.at(t(300)).failure(allocation());
    second.observed.instance = failed().observed.instance;
    second.observed.last_call = Some(outcome(CallKind::Create, t(60), None));
    let second = second.stored();
    assert_eq!(count(&second), 2);
    let mut absent = second;
    absent.observed.instance = cloudprovider::InstanceLookup::Absent { reads: 2 };
    absent.observed.last_call = Some(outcome(CallKind::Delete, t(301), None));
    assert_pause(&absent.plan(), 120);
}

#[test]
fn a_throttled_creation_is_not_answered_with_more_requests() {
    let throttled = error(ErrorClass::Throttled, "TooManyRequests", "slow down");
    let throttled = throttled.with_retry_after(Some(jiff::SignedDuration::from_secs(300)));
    // Without a known beginning it is not held up for ever.
    let unknown = failed().failure(throttled.clone()).stored().at(t(375));
    assert!(deeds(&unknown.plan()).ends_with("cloud delete e1"));
    let case = failed()
        .failure(throttled)
        .annotated("kaito.sh/launch-started", &t(-300).to_string());
    assert_eq!(
        deeds(&case.plan()),
        PATCH,
        "the failure is noted, nothing is sent"
    );
    let case = case.stored();
    assert_eq!(deeds(&case.plan()), "");
    assert_pause(&case.plan(), 300);
    let mut case = case.at(t(375));
    assert_eq!(deeds(&case.plan()), "cloud delete e1");
    // The pause is over when the instance is gone.
    case.observed.instance = cloudprovider::InstanceLookup::Absent { reads: 2 };
    assert!(deeds(&case.plan()).ends_with("cloud create"));
}

#[test]
fn a_instance_that_fails_for_good_is_not_made_again() {
    let sku = error(ErrorClass::SkuUnavailable, "SkuNotAvailable", "not here");
    let mut case = failed().failure(sku).stored();
    case.observed.instance = cloudprovider::InstanceLookup::Absent { reads: 2 };
    assert_eq!(deeds(&case.plan()), "");
    assert_pause(&case.plan(), 21600);
    let launched = case
        .observed
        .claim
        .condition(ClaimConditionType::Launched)
        .unwrap();
    assert_eq!(
        (launched.status.as_str(), launched.reason),
        ("False", "SKUNotAvailable")
    );
}

#[test]
fn a_node_at_work_is_worth_more_than_a_tidy_instance() {
    for working in [node(), new_node()] {
        let plan = failed().failure(allocation()).node(working).plan();
        assert_eq!(plan.cloud, None);
        assert_eq!(conditions(&plan), "True: True: True: True:");
    }
    let mut dead = new_node();
    dead.status = None;
    assert_eq!(
        deeds(&failed().failure(allocation()).node(dead).plan()),
        format!("{PATCH}, cloud delete e1")
    );
}

#[test]
fn a_node_that_does_not_join_costs_the_instance() {
    let case = Case::found(instance(InstanceState::Succeeded));
    assert_eq!(
        (deeds(&case.plan()), requeue(&case.plan())),
        (String::new(), Some(900))
    );
    let waiting = case.stored();
    assert_eq!(requeue(&waiting.clone().at(t(600)).plan()), Some(300));
    assert!(waiting.clone().at(t(600)).plan().is_noop());
    let late = waiting.at(t(900));
    assert_eq!(deeds(&late.plan()), format!("{PATCH}, cloud delete e1"));
    assert!(
        message(&late.plan(), "MachineLaunched")
            .starts_with("NodeDidNotJoin: no Node of instance ws0a1b2c3d4")
    );
    let deleting = {
        let mut case = late.stored();
        case.observed.instance = Case::found(instance(InstanceState::Deleting)).observed.instance;
        case
    };
    assert!(deleting.plan().is_noop());
}

#[test]
fn a_making_that_takes_too_long_is_cancelled() {
    let creating = Case::found(instance(InstanceState::Creating))
        .annotated("kaito.sh/launch-started", &t(0).to_string());
    assert_eq!(deeds(&creating.clone().at(t(3599)).plan()), "");
    let late = creating.at(t(3600));
    assert_eq!(deeds(&late.plan()), format!("{PATCH}, cloud abort"));
    let late = late.stored();
    // Whatever the canceled operation says, the claim knows why.
    let mut canceled =
        late.clone()
            .at(t(3620))
            .failure(error(ErrorClass::Transient, "Canceled", "by a user"));
    canceled.observed.instance = Case::found(instance(InstanceState::Canceled)).observed.instance;
    let canceled = canceled.stored().observed.claim;
    let launched = canceled.condition(ClaimConditionType::Launched).unwrap();
    assert!(
        launched.message.starts_with("LaunchTimedOut: "),
        "{}",
        launched.message
    );
    let accepted = late.clone().last(outcome(CallKind::Abort, t(3600), None));
    assert_eq!(deeds(&accepted.clone().at(t(3630)).plan()), "");
    assert_eq!(deeds(&accepted.at(t(3700)).plan()), "cloud delete e1");
    let refused = |class, failures| {
        let outcome = outcome(CallKind::Abort, t(3600), Some(error(class, "Code", "")));
        late.clone().last(CallOutcome { failures, ..outcome }).at(t(3610))
    };
    assert_eq!(deeds(&refused(ErrorClass::Transient, 1).plan()), "cloud abort");
    assert_eq!(
        deeds(&refused(ErrorClass::Transient, 3).plan()),
        "cloud delete e1"
    );
    assert_eq!(
        deeds(&refused(ErrorClass::Invalid, 1).at(t(3680)).plan()),
        "cloud delete e1"
    );
    assert_eq!(
        deeds(&late.node(new_node()).plan()).matches("patch Node").count(),
        1
    );
}

#[test]
fn success_clears_the_record() {
    let mut case = failed().failure(allocation()).stored().node(new_node());
    case.observed.instance = Case::found(instance(InstanceState::Succeeded)).observed.instance;
    let stored = case.stored();
    assert!(
        !stored
            .observed
            .claim
            .metadata()
            .annotations
            .clone()
            .unwrap()
            .contains_key(LAUNCH_FAILURE)
    );
}
