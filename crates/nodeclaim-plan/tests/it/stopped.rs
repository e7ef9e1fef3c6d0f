//! Instances that were stopped in the cloud, and Nodes that the cloud deletes.

use cloudprovider::{CloudCall, InstanceLookup, InstanceState};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::conditions::ClaimReason;
use nodeclaim_plan::observe::is_unsettled;

use crate::fixtures::{Case, NAME, NODE, conditions, deeds, instance, message, node, t};

fn stopped(state: InstanceState) -> Case {
    let mut instance = instance(state);
    instance.stopped = true;
    Case::found(instance)
}

/// A Node that its kubelet left and that the API server is asked to delete.
fn lost() -> Node {
    let mut lost = node();
    lost.status = None;
    lost.metadata.deletion_timestamp = Some(Time(t(0)));
    lost
}

#[test]
fn a_stopped_instance_is_neither_replaced_nor_deleted_and_the_claim_says_so() {
    let running = Case::found(instance(InstanceState::Succeeded))
        .node(node())
        .stored();
    for state in [
        InstanceState::Succeeded,
        InstanceState::Changing("Stopping".into()),
    ] {
        let mut case = running.clone();
        case.observed.instance = stopped(state).observed.instance;
        for nodes in [case.observed.nodes.clone(), vec![]] {
            case.observed.nodes = nodes;
            let days = case.clone().at(t(5 * 86400));
            let plan = days.plan();
            assert_eq!(deeds(&plan), "");
            let text = message(&plan, "Ready");
            assert!(text.starts_with("Instance ws0a1b2c3d4 is stopped. "), "{text}");
            assert!(text.ends_with(ClaimReason::InstanceStopped.remedy()), "{text}");
            assert_eq!(plan.events.len(), 1, "{:?}", plan.events);
            let stored = days.stored();
            assert!(stored.plan().is_noop());
            assert!(!is_unsettled(&stored.observed.claim), "polled rarely");
        }
    }
    let plan = stopped(InstanceState::Succeeded).of_a_node_claim().plan();
    assert!(
        conditions(&plan).starts_with("True:Launched Unknown:InstanceStopped"),
        "{}",
        conditions(&plan)
    );
}

#[test]
fn an_instance_that_was_started_gets_the_whole_time_to_join() {
    let mut case = stopped(InstanceState::Succeeded).stored().at(t(86400));
    case.observed.instance = Case::found(instance(InstanceState::Succeeded)).observed.instance;
    case.observed.state_since = Some(t(86390));
    let waiting = case.stored();
    assert_eq!(deeds(&waiting.clone().at(t(86390 + 899)).plan()), "");
    assert!(deeds(&waiting.at(t(86390 + 901)).plan()).ends_with("cloud delete e1"));
}

#[test]
fn the_end_of_a_node_that_the_cloud_took_does_not_end_the_claim() {
    let read = Some(CloudCall::Read { name: NAME.into() });
    // What was read before the Node was deleted proves nothing.
    for mut case in [
        Case::new(InstanceLookup::Unknown),
        Case::found(instance(InstanceState::Succeeded)),
        Case::absent(1),
    ] {
        case.observed.read_at = Some(t(0));
        let plan = case.node(lost()).plan();
        assert_eq!((plan.cloud, plan.writes.len()), (read.clone(), 0));
    }
    let read = |mut case: Case, since| {
        case.observed.read_at = Some(t(5));
        case.observed.state_since = Some(t(since));
        case.node(lost())
    };
    let kept = format!("patch Node {NODE}");
    let ended = format!("delete Machine {NAME}");
    let changing = |word: &str| Case::found(instance(InstanceState::Changing(word.into())));
    for (case, expected) in [
        (read(stopped(InstanceState::Succeeded), -9), &kept),
        (read(changing("Starting"), -9), &kept),
        (read(Case::found(instance(InstanceState::Succeeded)), 3), &kept),
        (read(Case::found(instance(InstanceState::Succeeded)), -9), &ended),
        (read(Case::found(instance(InstanceState::Failed)), 3), &ended),
        (read(Case::absent(2), 3), &ended),
    ] {
        assert_eq!(&deeds(&case.plan()), expected, "{:?}", case.observed.instance);
    }
    // A Node whose kubelet works was deleted by a person.
    let mut working = node();
    working.metadata.deletion_timestamp = Some(Time(t(0)));
    let mut stale = stopped(InstanceState::Succeeded);
    stale.observed.read_at = Some(t(5));
    assert_eq!(
        deeds(&stale.node(working.clone()).plan()),
        kept,
        "a stopped instance has no kubelet"
    );
    let mut case = changing("Updating");
    case.observed.read_at = Some(t(5));
    assert_eq!(deeds(&case.node(working).plan()), ended);
}
