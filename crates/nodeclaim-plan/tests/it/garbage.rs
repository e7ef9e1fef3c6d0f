//! Instances and Nodes whose claim is gone.

use std::sync::Arc;

use cloudprovider::{Accepted, ErrorClass, Instance, InstanceLookup, InstanceState, InstanceTracker};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::{Claim, Machine};
use nodeclaim_plan::Settings;
use nodeclaim_plan::garbage::{collect, unclaimed_upstream};
use nodeclaim_plan::observe::observe_node;

use crate::cluster_objects::ClusterObjects;
use crate::fixtures::{
    Case, NAME, NODE, UID, conditions, deeds, error, foreign_instance, instance, machine, message, node,
    orphan_plan, t, upstream_instance,
};

fn ours() -> Instance {
    let mut instance = instance(InstanceState::Succeeded);
    instance.cluster_id = Some("c1".into());
    instance
}

fn settings() -> Settings {
    Settings {
        cluster_id: "c1".into(),
        ..Settings::default()
    }
}

/// Returns a tracker that listed these instances some seconds ago, and since.
fn listed(instances: &[Instance], seconds: i64) -> InstanceTracker {
    let mut tracker = InstanceTracker::default();
    tracker.on_list(t(-seconds), instances.to_vec());
    tracker
}

#[track_caller]
fn check(instance: Instance, uid: &str, seen: i64, expect: usize) {
    let mut machine = machine();
    machine.metadata.uid = Some(uid.into());
    let tracker = listed(&[instance], seen);
    let calls = collect(t(0), &tracker, &[machine.into()], &settings());
    assert_eq!(calls.len(), expect, "{calls:?}");
}

#[test]
fn only_our_own_orphans_are_collected() {
    check(ours(), "another", 120, 1);
    check(ours(), crate::fixtures::UID, 120, 0);
    check(ours(), "another", 119, 0);
    check(instance(InstanceState::Succeeded), "another", 120, 0);
    check(
        Instance {
            state: InstanceState::Deleting,
            ..ours()
        },
        "another",
        120,
        0,
    );
    check(
        Instance {
            state: InstanceState::Creating,
            ..ours()
        },
        "another",
        120,
        1,
    );
    check(foreign_instance(InstanceState::Succeeded), "another", 120, 0);
    check(upstream_instance(InstanceState::Succeeded), "another", 120, 0);
}

#[test]
fn blocked_deletions_never_hold_up_the_others() {
    let instances: Vec<Instance> = (10..30)
        .map(|i| Instance {
            name: format!("p{i}"),
            ..ours()
        })
        .collect();
    let mut tracker = listed(&instances, 600);
    let names = |tracker: &InstanceTracker, now| {
        let found = collect(t(now), tracker, &[], &settings());
        found
            .iter()
            .map(|o| o.delete.instance().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&tracker, 0)[..2], ["p10", "p11"]);
    // The first five are refused, and are due again.
    for _ in 0..3 {
        for name in ["p10", "p11", "p12", "p13", "p14"] {
            let refused = Err(error(ErrorClass::Blocked, "ScopeLocked", "locked"));
            let _ = tracker.on_delete((t(0), t(0)), name, refused);
        }
    }
    assert_eq!(names(&tracker, 30).len(), 15, "in their pause");
    let later = names(&tracker, 3600);
    assert_eq!(
        (later.len(), later[0].as_str(), later[15].as_str()),
        (20, "p15", "p10")
    );
    // An accepted deletion is not sent again at once.
    let _ = tracker.on_delete((t(3600), t(3600)), "p15", Ok(Accepted::default()));
    assert_eq!(names(&tracker, 3601)[0], "p16");
}

#[test]
fn an_instance_we_never_saw_before_stays_and_a_claim_is_told_by_its_uid() {
    assert_eq!(collect(t(0), &InstanceTracker::default(), &[], &settings()), []);
    // A claim of the same name is another claim.
    let found = collect(t(0), &listed(&[ours()], 600), &[renamed().into()], &settings());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].claim_uid.as_str(), found[0].delete.instance()),
        (UID, NAME)
    );
}

#[test]
fn instances_of_upstream_without_a_claim_are_reported() {
    let tracker = listed(&[upstream_instance(InstanceState::Succeeded)], 600);
    assert_eq!(unclaimed_upstream(&tracker, &[]), [NAME]);
    assert_eq!(
        unclaimed_upstream(&tracker, &[machine().into()]),
        Vec::<String>::new()
    );
    assert_eq!(
        unclaimed_upstream(&listed(&[ours()], 600), &[]),
        Vec::<String>::new()
    );
}

/// The claim that was made again under the same name.
fn renamed() -> Machine {
    let mut machine = machine();
    machine.metadata.uid = Some("new".into());
    machine
}

#[test]
fn a_claim_made_again_waits_for_the_collector_and_is_not_told_of_a_conflict() {
    let mut case = Case::found(ours()).machine(|machine| *machine = renamed());
    case.settings = settings();
    let plan = case.plan();
    assert_eq!(deeds(&plan), "");
    assert!(
        conditions(&plan).starts_with("Unknown:InstanceDeleting"),
        "{}",
        conditions(&plan)
    );
    assert!(message(&plan, "MachineLaunched").contains("of an earlier claim"));
    // The Node of the earlier claim is not the new claim's.
    let mut old = node();
    old.metadata.deletion_timestamp = Some(Time(t(0)));
    let mut tracker = listed(&[], 0);
    let observed = observe_node(&alone(renamed()), &tracker, Arc::new(old.clone()));
    assert!(!observed.claim_exists);
    let observed = observe_node(&alone(machine()), &tracker, Arc::new(old.clone()));
    assert!(observed.claim_exists);
    // It goes once the name's instance is the new claim's.
    let new = Instance {
        owner: crate::fixtures::ours("new"),
        ..ours()
    };
    tracker.on_list(t(1), vec![new]);
    let observed = observe_node(&alone(renamed()), &tracker, Arc::new(old));
    assert_eq!(
        deeds(&nodeclaim_plan::orphan::plan_node(&observed)),
        format!("patch Node {NODE}")
    );
}

/// A cluster with this claim alone.
fn alone(claim: impl Into<Claim>) -> ClusterObjects {
    ClusterObjects {
        claims: vec![claim.into()],
        ..ClusterObjects::default()
    }
}

#[test]
fn an_orphaned_node_goes_when_its_instance_is_gone() {
    let found = |instance: Instance| InstanceLookup::Found(Arc::new(instance));
    let mut deleting = node();
    deleting.metadata.deletion_timestamp = Some(Time(t(0)));
    let both = format!("patch Node {NODE}, delete Node {NODE}");
    let one = format!("patch Node {NODE}");
    for (node, machine_exists, instance, expect) in [
        (node(), false, InstanceLookup::Absent { reads: 2 }, both.as_str()),
        (deleting.clone(), false, InstanceLookup::Absent { reads: 2 }, &one),
        (deleting.clone(), false, InstanceLookup::Absent { reads: 1 }, ""),
        (deleting.clone(), false, InstanceLookup::Unknown, ""),
        (deleting.clone(), true, InstanceLookup::Absent { reads: 4 }, ""),
        (deleting.clone(), false, found(ours()), ""),
        (
            deleting,
            false,
            found(foreign_instance(InstanceState::Succeeded)),
            &one,
        ),
        (
            node(),
            false,
            found(foreign_instance(InstanceState::Succeeded)),
            "",
        ),
    ] {
        let plan = orphan_plan(&node, machine_exists, &instance);
        assert_eq!(deeds(&plan), expect, "{machine_exists} {instance:?}");
        assert_eq!(plan_check::check(&plan), []);
    }
    let mut unmanaged = node();
    unmanaged.metadata.labels = Some([("agentpool".into(), NAME.into())].into());
    assert_eq!(
        deeds(&orphan_plan(
            &unmanaged,
            false,
            &InstanceLookup::Absent { reads: 4 }
        )),
        ""
    );
}
