//! The brake on deleted Nodes, the claim that asks for room in a full cluster, and deletions that fail again and again.

use std::sync::Arc;

use cloudprovider::{
    Accepted, CallKind, CallOutcome, ErrorClass, FullCluster, InstanceState, InstanceTracker, LaunchSpec,
    ProviderError,
};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use nodeclaim_plan::{Observed, Source};

use crate::cluster_objects::{ClusterObjects, instance_of};
use crate::fixtures::{
    Case, NAME, conditions, deeds, instance, machine, message, node, outcome, settings, t,
};

/// A fleet of this size, and this Node for each of the names.
fn fleet(size: usize, names: &[&str], node: &Node) -> ClusterObjects {
    let of_claim = |name: &&str| {
        let mut node = node.clone();
        node.metadata.owner_references.as_mut().unwrap()[0].uid = format!("uid-{name}");
        ((*name).to_owned(), node)
    };
    ClusterObjects {
        claims: vec![machine().into(); size],
        nodes: names.iter().map(of_claim).collect(),
    }
}

fn observe(source: &impl Source, tracker: &mut InstanceTracker, name: &str, second: i64) -> Observed {
    let mut claim = machine();
    claim.metadata.name = Some(name.into());
    claim.metadata.uid = Some(format!("uid-{name}"));
    let none = SignedDuration::ZERO;
    nodeclaim_plan::observe(source, tracker, claim.into(), &settings(), t(second), none)
}

#[test]
fn of_nodes_that_are_deleted_together_a_fifth_is_given_back_in_ten_minutes() {
    let mut going = node();
    going.metadata.deletion_timestamp = Some(Time(t(-60)));
    for (size, expected) in [(1, 1), (4, 1), (10, 2), (25, 5)] {
        let names: Vec<String> = (0..size).map(|i| format!("ws{i}")).collect();
        let named: Vec<&str> = names.iter().map(String::as_str).collect();
        let source = fleet(size, &named, &going);
        let mut tracker = InstanceTracker::default();
        for name in &names {
            tracker.view(name, &format!("uid-{name}"), t(-1));
        }
        tracker.on_list(t(0), names.iter().map(|name| instance_of(name)).collect());
        let mut given_back = |second| {
            // Any number of reconciles makes no difference.
            for _ in 0..2 {
                for name in &names {
                    observe(&source, &mut tracker, name, second);
                }
            }
            let plans = names.iter().map(|name| {
                let observed = observe(&source, &mut tracker, name, second);
                let plan = nodeclaim_plan::plan(t(second), &observed, &settings());
                assert!(deeds(&plan).starts_with("delete Machine") || plan.requeue.is_some());
                plan
            });
            plans
                .filter(|plan| deeds(plan).starts_with("delete Machine"))
                .count()
        };
        assert_eq!(given_back(1), expected, "{size}");
        assert_eq!(given_back(599), expected, "{size}");
    }
}

#[test]
fn a_node_that_the_cloud_took_does_not_use_the_brake() {
    let mut lost = node();
    lost.status = None;
    lost.metadata.deletion_timestamp = Some(Time(t(-60)));
    let source = fleet(1, &["stopped", "deleted"], &lost);
    let mut tracker = InstanceTracker::default();
    for name in ["stopped", "deleted"] {
        tracker.view(name, &format!("uid-{name}"), t(-1));
    }
    let mut stopped = instance_of("stopped");
    stopped.stopped = true;
    tracker.on_list(t(0), vec![stopped, instance_of("deleted")]);
    assert_eq!(
        observe(&source, &mut tracker, "stopped", 1).deletion_held_until,
        None
    );
    assert_eq!(tracker.permit_deletion("another", 1, t(1)), Ok(()));
}

#[test]
fn a_claim_that_is_held_says_so_once_and_follows_later() {
    let mut going = node();
    going.metadata.deletion_timestamp = Some(Time(t(-60)));
    let mut case = Case::found(instance(InstanceState::Succeeded))
        .node(node())
        .stored();
    case.observed.nodes = vec![Arc::new(going)];
    case.observed.read_at = Some(t(0));
    case.observed.deletion_held_until = Some(t(100));
    let plan = case.plan();
    assert_eq!((deeds(&plan).as_str(), plan.events.len()), ("", 1));
    assert_eq!(plan.requeue.map(|left| left.as_secs()), Some(100));
    let text = message(&plan, "Ready");
    assert!(
        text.contains("at most 20 % of the nodes are given back in 10 minutes"),
        "{text}"
    );
    assert!(
        conditions(&plan).contains("False:NodeDeletionHeld"),
        "{}",
        conditions(&plan)
    );
    let mut case = case.stored();
    assert!(case.plan().is_noop(), "{:?}", case.plan());
    case.observed.deletion_held_until = None;
    assert_eq!(deeds(&case.plan()), format!("delete Machine {NAME}"));
}

#[test]
fn one_claim_asks_a_full_cluster_for_room_and_the_others_wait_for_it() {
    let full = || ProviderError::new(ErrorClass::ClusterFull, "Full", "100 of 100 agent pools");
    let spec = |name: &str| LaunchSpec {
        name: name.to_owned(),
        ..LaunchSpec::default()
    };
    let mut tracker = InstanceTracker::default();
    tracker.on_list(t(0), vec![instance_of("a"), instance_of("b")]);
    let source = fleet(9, &[], &node());
    let waits = |tracker: &mut InstanceTracker, name: &str, second: i64| {
        let full = observe(&source, tracker, name, second).full;
        let case = Case {
            settings: settings(),
            ..Case::absent(2).at(t(second))
        };
        let observed = Observed {
            full,
            ..case.observed
        };
        let plan = nodeclaim_plan::plan(t(second), &observed, &case.settings);
        deeds(&plan).is_empty()
            && conditions(&plan).starts_with("Unknown:WaitingForRoom")
            && plan.events.is_empty()
    };
    for name in ["first", "second", "third"] {
        assert!(!waits(&mut tracker, name, 0));
    }
    let _ = tracker.on_create(t(1), &spec("first"), Err(full()));
    let _ = tracker.on_create(t(2), &spec("second"), Err(full()));
    assert_eq!(
        tracker.full().map(|full: &FullCluster| full.claim.as_str()),
        Some("first")
    );
    assert!(!waits(&mut tracker, "first", 3));
    assert!(waits(&mut tracker, "second", 3));
    assert!(waits(&mut tracker, "third", 1200));
    assert!(
        !waits(&mut tracker, "third", 1300),
        "the first may have stopped to ask"
    );
    // An instance went, so every claim may ask.
    tracker.on_list(t(4), vec![instance_of("a")]);
    assert!(!waits(&mut tracker, "second", 5));
    let _ = tracker.on_create(t(6), &spec("second"), Err(full()));
    assert!(waits(&mut tracker, "third", 7));
    let _ = tracker.on_create(t(8), &spec("second"), Ok(Accepted::default()));
    assert_eq!(tracker.full(), None);
    // A claim that is gone does not ask any more.
    let _ = tracker.on_create(t(9), &spec("third"), Err(full()));
    tracker.forget("third");
    assert_eq!(tracker.full(), None);
}

#[test]
fn a_deletion_that_the_cloud_accepts_and_does_not_carry_out_is_repeated_ever_more_rarely() {
    let case = Case::found(instance(InstanceState::Failed)).deleted_at(t(-9000));
    let repeated = |repeats, second| {
        let call = CallOutcome {
            repeats,
            ..outcome(CallKind::Delete, t(0), None)
        };
        deeds(&case.clone().last(call).at(t(second)).plan())
    };
    for (repeats, minutes) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 10), (40, 10)] {
        assert_eq!(repeated(repeats, minutes * 60 - 1), "", "{repeats}");
        assert_eq!(repeated(repeats, minutes * 60), "cloud delete e1", "{repeats}");
    }
    let mut tracker = InstanceTracker::default();
    for expected in 0..3 {
        let _ = tracker.on_delete((t(0), t(1)), NAME, Ok(Accepted::default()));
        assert_eq!(tracker.last_delete(NAME).map(|call| call.repeats), Some(expected));
    }
    let refused = ProviderError::new(ErrorClass::Busy, "Busy", "");
    let _ = tracker.on_delete((t(0), t(1)), NAME, Err(refused));
    assert_eq!(
        tracker
            .last_delete(NAME)
            .map(|call| (call.repeats, call.failures)),
        Some((3, 1))
    );
}
