//! The offerings that a claim allows, and the order in which they are tried.

use cloudprovider::{
    CallKind, CapacityType, CloudCall, ErrorClass, Instance, InstanceLookup, InstanceState, LaunchSpec,
    Offering, RefusedOfferings,
};
use jiff::Timestamp;
use kaito_api::Claim;
use kaito_api::conditions::ClaimConditionType;
use kaito_api::labels::{CAPACITY_TYPE, LAUNCH_OFFERING, ZONE};
use nodeclaim_plan::Settings;
use nodeclaim_plan::launch::offerings::offerings;
use plan::Plan;
use serde_json::json;

use crate::fixtures::{Case, conditions, deeds, error, instance, machine, message, outcome, settings, t};

const TYPE: &str = "Standard_NC24ads_A100_v4";

fn offering(capacity_type: CapacityType, zone: Option<&str>) -> Offering {
    Offering {
        instance_type: TYPE.into(),
        capacity_type,
        zone: zone.map(str::to_owned),
    }
}

fn with(requirements: &[(&str, &str, &[&str])]) -> Claim {
    let mut machine = machine();
    for (key, operator, values) in requirements {
        let requirement = json!({"key": key, "operator": operator, "values": values});
        machine
            .spec
            .requirements
            .push(serde_json::from_value(requirement).unwrap());
    }
    machine.into()
}

/// A claim that allows spot and on-demand capacity in the zones 2 and 1.
fn four() -> Case {
    let mut case = Case::absent(2);
    case.settings = settings();
    case.observed.claim = with(&[
        (CAPACITY_TYPE, "In", &["spot", "on-demand"]),
        (ZONE, "In", &["eastus-2", "1"]),
    ]);
    case
}

fn asked(plan: &Plan<CloudCall>) -> String {
    match &plan.cloud {
        Some(CloudCall::Create(spec)) => {
            assert_eq!(spec.labels[CAPACITY_TYPE], spec.capacity_type.as_str());
            spec.offering().to_string()
        }
        _ => deeds(plan),
    }
}

fn refuse(case: &mut Case, offering: &Offering, class: ErrorClass, at: Timestamp) {
    let words = error(class, "Code", "The cloud says no.");
    case.observed.refused.refused(offering, at, at, &words);
}

#[test]
fn the_written_order_counts_capacity_types_before_zones() {
    let settings = settings();
    let check = |requirements: &[(&str, &str, &[&str])], expected: &str| {
        let found = match offerings(&with(requirements), None, &settings) {
            Ok(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{requirements:?}");
    };
    check(&[], "on-demand");
    check(&[(CAPACITY_TYPE, "Exists", &[])], "on-demand");
    check(
        &[
            (CAPACITY_TYPE, "In", &["spot", "on-demand"]),
            (ZONE, "In", &["eastus-2", "1", "2"]),
        ],
        "spot in zone 2, spot in zone 1, on-demand in zone 2, on-demand in zone 1",
    );
    check(
        &[(ZONE, "NotIn", &["eastus-2"])],
        "on-demand in zone 1, on-demand in zone 3",
    );
    check(
        &[(ZONE, "In", &["1", "3"]), (ZONE, "NotIn", &["1"])],
        "on-demand in zone 3",
    );
    check(
        &[(ZONE, "In", &["1", "3"]), (ZONE, "In", &["3", "2"])],
        "on-demand in zone 3",
    );
    check(&[(CAPACITY_TYPE, "NotIn", &["on-demand"])], "spot");
    check(
        &[(ZONE, "In", &["westus-1", "9"])],
        "the requirements on topology.kubernetes.io/zone leave no zone: expected some of [eastus-1, eastus-2, eastus-3]",
    );
    check(
        &[(CAPACITY_TYPE, "In", &["leased"])],
        "the requirements on karpenter.sh/capacity-type leave none of on-demand, spot and reserved",
    );
}

#[test]
fn a_refused_offering_leads_to_the_next_and_the_claim_says_so() {
    let mut case = four();
    assert_eq!(asked(&case.plan()), "spot in zone 2");
    refuse(
        &mut case,
        &offering(CapacityType::Spot, Some("2")),
        ErrorClass::Capacity,
        t(-5),
    );
    let plan = case.plan();
    assert_eq!(asked(&plan), "spot in zone 1");
    // Other types are not tried while this claim has an offering left.
    assert!(
        conditions(&plan).starts_with("Unknown:InstanceCreating "),
        "{}",
        conditions(&plan)
    );
    let says = message(&plan, "MachineLaunched");
    assert!(
        says.contains(
            "requested as spot in zone 1; spot in zone 2: Code: The cloud says no (not before 2026-01-05T10:"
        ),
        "{says}"
    );
    refuse(
        &mut case,
        &offering(CapacityType::Spot, Some("1")),
        ErrorClass::Quota,
        t(-4),
    );
    assert_eq!(asked(&case.plan()), "on-demand in zone 2");
    // Another claim may ask for the first again after its pause, and it comes first.
    assert_eq!(asked(&case.clone().at(t(80)).plan()), "spot in zone 2");
}

#[test]
fn without_any_offering_each_is_named_with_its_reason() {
    let mut case = four();
    for (number, class) in [(1, ErrorClass::SkuUnavailable), (2, ErrorClass::Quota)] {
        let zone = number.to_string();
        for capacity_type in [CapacityType::Spot, CapacityType::OnDemand] {
            refuse(&mut case, &offering(capacity_type, Some(&zone)), class, t(-10));
        }
    }
    let plan = case.plan();
    assert_eq!(plan.cloud, None);
    assert!(
        conditions(&plan).starts_with("Unknown:SubscriptionQuotaReached "),
        "{}",
        conditions(&plan)
    );
    let says = message(&plan, "MachineLaunched");
    for part in [
        "No offering of Standard_NC24ads_A100_v4",
        "spot in zone 2: Code",
        "on-demand in zone 1: Code",
    ] {
        assert!(says.contains(part), "{part}: {says}");
    }
    let pause = plan.requeue.unwrap().as_secs();
    assert!((50..75).contains(&pause), "{pause}");
    // The type is not offered here.
    let mut nowhere = four();
    for zone in ["1", "2"] {
        for capacity_type in [CapacityType::Spot, CapacityType::OnDemand] {
            refuse(
                &mut nowhere,
                &offering(capacity_type, Some(zone)),
                ErrorClass::SkuUnavailable,
                t(-1),
            );
        }
    }
    let plan = nowhere.plan();
    assert!(
        conditions(&plan).starts_with("False:SKUNotAvailable "),
        "{}",
        conditions(&plan)
    );
    assert!(message(&plan, "MachineLaunched").contains("all requested instance types were unavailable"));
}

#[test]
fn the_offering_is_stored_before_the_request_and_repeated_after_a_restart() {
    let mut case = four();
    refuse(
        &mut case,
        &offering(CapacityType::Spot, Some("2")),
        ErrorClass::Capacity,
        t(-5),
    );
    let plan = case.plan();
    let stored = case.store(&plan);
    let record = &stored.observed.claim.metadata().annotations.as_ref().unwrap()[LAUNCH_OFFERING];
    assert_eq!(
        serde_json::from_str::<Offering>(record).unwrap(),
        offering(CapacityType::Spot, Some("1"))
    );
    // A restart forgets the refusal. The request may have been sent, so it is repeated.
    let mut restarted = stored.clone();
    restarted.observed.refused = RefusedOfferings::default();
    assert_eq!(asked(&restarted.plan()), "spot in zone 1");
    // Once its end is known, the order counts again.
    let ended = Case {
        settings: settings(),
        ..restarted.last(outcome(CallKind::Delete, t(1), None)).at(t(2))
    };
    assert_eq!(asked(&ended.plan()), "spot in zone 2");
}

#[test]
fn the_answer_to_the_last_request_counts_without_the_memory() {
    let case = four();
    let plan = case.plan();
    let refused = outcome(
        CallKind::Create,
        t(0),
        Some(error(ErrorClass::Quota, "Code", "no")),
    );
    let next = case.store(&plan).last(refused).at(t(1)).plan();
    assert_eq!(asked(&next), "spot in zone 1");
    // A request that says nothing about the offering is repeated after its pause.
    let case = four();
    let plan = case.plan();
    let busy = outcome(
        CallKind::Create,
        t(0),
        Some(error(ErrorClass::Busy, "Code", "no")),
    );
    let waits = case.store(&plan).last(busy);
    assert_eq!(waits.clone().at(t(0)).plan().cloud, None);
    assert_eq!(asked(&waits.at(t(2)).plan()), "spot in zone 2");
}

#[test]
fn a_failed_instance_is_noted_with_its_offering_and_the_next_follows_at_once() {
    let failed = Instance {
        capacity_type: CapacityType::Spot,
        zones: vec!["2".into()],
        failure: Some(error(ErrorClass::Capacity, "AllocationFailed", "No capacity.")),
        ..instance(InstanceState::Failed)
    };
    let found = Case {
        settings: settings(),
        ..Case::found(failed)
    };
    let mut case = Case {
        observed: nodeclaim_plan::Observed {
            claim: four().observed.claim,
            ..found.observed
        },
        ..found
    };
    let plan = case.plan();
    assert!(deeds(&plan).ends_with("cloud delete e1"), "{}", deeds(&plan));
    assert!(
        conditions(&plan).starts_with("Unknown:InstanceCreating "),
        "{}",
        conditions(&plan)
    );
    case = case.store(&plan);
    case.observed.instance = cloudprovider::InstanceLookup::Absent { reads: 2 };
    // However long the failed instance took to go.
    for second in [1, 90, 900] {
        assert_eq!(
            asked(&case.clone().at(t(second)).plan()),
            "spot in zone 1",
            "{second}"
        );
    }
    // Where it was the only one, its own words are the reason.
    let mut only = case;
    let Claim::Machine(machine) = with(&[(CAPACITY_TYPE, "In", &["spot"]), (ZONE, "In", &["2"])]) else {
        panic!("no Machine")
    };
    let annotations = only.observed.claim.metadata().annotations.clone();
    only = only.machine(|old| old.spec = machine.spec.clone());
    assert_eq!(only.observed.claim.metadata().annotations, annotations);
    let plan = only.at(t(1)).plan();
    assert_eq!(plan.cloud, None);
    assert!(
        conditions(&plan).starts_with("Unknown:AllocationFailure "),
        "{}",
        conditions(&plan)
    );
}

#[test]
fn one_claim_asks_for_all_whether_an_offering_is_back() {
    let mut case = four();
    let first = offering(CapacityType::Spot, Some("2"));
    refuse(&mut case, &first, ErrorClass::Capacity, t(-200));
    assert_eq!(asked(&case.plan()), "spot in zone 2", "the pause is over");
    case.observed.refused.asked(&first, "another", t(-20));
    let plan = case.plan();
    assert_eq!(asked(&plan), "spot in zone 1");
    assert!(message(&plan, "MachineLaunched").contains("claim another asks again"));
    assert_eq!(
        asked(&case.clone().at(t(600)).plan()),
        "spot in zone 2",
        "the other may be gone"
    );
    case.observed.refused.supplied(&first);
    assert_eq!(asked(&case.plan()), "spot in zone 2");
}

#[test]
fn a_launch_says_what_it_buys() {
    let spec = LaunchSpec {
        instance_type: "t".into(),
        ..LaunchSpec::default()
    };
    assert_eq!(spec.offering().to_string(), "on-demand");
    let settings = Settings::default();
    let problem = offerings(&with(&[(ZONE, "In", &["1"])]), None, &settings).unwrap_err();
    assert!(
        problem.to_string().contains("leave no zone"),
        "a cloud without zones"
    );
}

/// Plays a cloud whose instances are complete at once and whose Nodes never join. Returns the first requests with their
/// minutes, and the claim.
fn without_nodes(mut case: Case, requests: usize) -> (Vec<(i64, String)>, Case) {
    let mut asked = Vec::new();
    for minute in 0..600 {
        case = case.at(t(minute * 60));
        let plan = case.plan();
        case = case.store(&plan);
        match plan.cloud {
            Some(CloudCall::Create(spec)) => {
                asked.push((minute, spec.offering().to_string()));
                let found = Instance {
                    capacity_type: spec.capacity_type,
                    zones: spec.zone.iter().cloned().collect(),
                    ..instance(InstanceState::Succeeded)
                };
                case.observed.instance = InstanceLookup::Found(std::sync::Arc::new(found));
                case.observed.last_call = Some(outcome(CallKind::Create, case.now, None));
                case.observed.state_since = Some(case.now);
            }
            Some(CloudCall::Delete { .. }) => {
                if asked.len() == requests {
                    break;
                }
                case.observed.instance = InstanceLookup::Absent { reads: 2 };
                case.observed.last_call = Some(outcome(CallKind::Delete, case.now, None));
            }
            _ => {}
        }
    }
    (asked, case)
}

#[test]
fn an_offering_whose_nodes_never_join_is_tried_twice_and_then_left() {
    let (asked, _) = without_nodes(four(), 8);
    let offerings: Vec<&str> = asked.iter().map(|(_, offering)| offering.as_str()).collect();
    let each = [
        "spot in zone 2",
        "spot in zone 1",
        "on-demand in zone 2",
        "on-demand in zone 1",
    ];
    assert_eq!(
        offerings,
        each.into_iter().flat_map(|each| [each; 2]).collect::<Vec<_>>()
    );

    let mut one = Case::absent(2);
    one.settings = settings();
    let (_, first) = without_nodes(one.clone(), 1);
    let reason = |case: &Case| {
        case.observed
            .claim
            .condition(ClaimConditionType::Launched)
            .unwrap()
            .reason
            .to_owned()
    };
    assert_eq!(reason(&first), "InstanceFailed");
    let (asked, second) = without_nodes(one.clone(), 2);
    let says = second
        .observed
        .claim
        .condition(ClaimConditionType::Launched)
        .unwrap();
    assert_eq!(reason(&second), "NodeNeverJoined");
    assert!(says.message.contains("no Node of instance"), "{}", says.message);
    // It is asked for again after the longest pause.
    let (again, _) = without_nodes(one, 3);
    let pause = again[2].0 - asked[1].0;
    assert!((15 + 10..=15 + 13).contains(&pause), "{pause}");
}
