//! Settings that name another cluster than the one in which instances were launched.

use cloudprovider::{InstanceLookup, InstanceState, InstanceTracker};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::conditions::ClaimReason;
use kaito_api::labels::LAUNCHED_IN;
use nodeclaim_plan::cluster::first_conflict;
use plan::Finalizer;

use crate::fixtures::{Case, conditions, deeds, instance, message, node, t};

/// A running instance with the id of an earlier setting.
fn of_other_id() -> Case {
    let mut instance = instance(InstanceState::Succeeded);
    instance.cluster_id = Some("before".into());
    let mut case = Case::found(instance).node(node());
    case.settings.cluster_id = "after".into();
    case
}

/// A claim of an instance that another cluster has, so that this one shows none.
fn launched_elsewhere(lookup: InstanceLookup) -> Case {
    let mut case = Case::new(lookup).annotated(LAUNCHED_IN, "s/g/before");
    case.settings.place = "s/g/after".into();
    case
}

#[test]
fn an_instance_of_another_cluster_is_neither_adopted_nor_let_go() {
    let absent = || InstanceLookup::Absent { reads: 4 };
    for case in [
        of_other_id(),
        launched_elsewhere(absent()),
        launched_elsewhere(InstanceLookup::Unknown),
    ] {
        let live = case.clone().at(t(9 * 86400));
        assert_eq!(deeds(&live.plan()), "");
        let text = message(&live.plan(), "Ready");
        assert!(text.ends_with(ClaimReason::ClusterIdChanged.remedy()), "{text}");
        assert!(
            live.plan()
                .events
                .iter()
                .any(|event| event.warning && event.reason == "ClusterIdChanged")
        );
        assert!(live.stored().plan().is_noop());
        // Deleted, with its Node, it stays until the settings are right.
        let mut going = node();
        going.metadata.deletion_timestamp = Some(Time(t(0)));
        for deleted in [
            case.clone().node(going),
            case.clone().deleted_at(t(0)),
            case.node(node()).deleted_at(t(0)),
        ] {
            let plan = deleted.at(t(9 * 86400)).plan();
            assert_eq!((plan.finalizer, deeds(&plan).as_str()), (Finalizer::Leave, ""));
            assert!(
                conditions(&plan).ends_with("False:ClusterIdChanged"),
                "{}",
                conditions(&plan)
            );
        }
    }
}

#[test]
fn with_the_right_settings_all_is_as_before() {
    let mut case = launched_elsewhere(InstanceLookup::Absent { reads: 4 });
    case.settings.place = "s/g/before".into();
    assert!(deeds(&case.plan()).ends_with("cloud create"));
    assert!(matches!(
        case.deleted_at(t(0)).plan().finalizer,
        Finalizer::Release(_)
    ));
    // A launch notes the place.
    let mut case = Case::absent(2);
    case.settings.place = "s/g/c".into();
    let stored = case.stored().observed.claim;
    assert_eq!(
        stored.metadata().annotations.as_ref().unwrap()[LAUNCHED_IN],
        "s/g/c"
    );
}

#[test]
fn one_conflict_holds_every_launch() {
    let case = of_other_id();
    let mut tracker = InstanceTracker::default();
    let InstanceLookup::Found(instance) = &case.observed.instance else {
        panic!("no instance")
    };
    let claims = [case.observed.claim.clone()];
    assert_eq!(
        first_conflict(&claims, &tracker, &case.settings),
        None,
        "not listed yet"
    );
    tracker.on_list(t(0), vec![(**instance).clone()]);
    let conflict = first_conflict(&claims, &tracker, &case.settings).unwrap();
    assert_eq!(
        conflict,
        "instance ws0a1b2c3d4 has the cluster id before, and the provisioner is set to after"
    );
    assert_eq!(first_conflict(&[], &tracker, &case.settings), None);
    let elsewhere = launched_elsewhere(InstanceLookup::Unknown);
    assert!(first_conflict(&[elsewhere.observed.claim], &tracker, &elsewhere.settings).is_some());
    let mut held = Case::absent(4);
    held.observed.launches_held = true;
    assert_eq!(deeds(&held.plan()), "");
    assert!(
        conditions(&held.plan()).starts_with("False:ClusterIdChanged")
            || conditions(&held.plan()).starts_with("Unknown:ClusterIdChanged")
    );
    assert!(tracker.hold_launches(true) && !tracker.hold_launches(true) && tracker.are_launches_held());
}
