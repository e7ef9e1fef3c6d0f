//! Quota and restrictions before nodes are asked for. A ladder leaves a type out, and a single type is asked for with a note.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::ClaimKind;
use kaito_api::capacity::{CapacityRecord, TypeCapacity, VcpuQuota};
use kaito_api::workspace_status::LaunchAttempt;
use proptest::prelude::*;
use workspace_plan::{ObservedCapacity, ProvisionerMode};

use crate::case::{Case, condition};
use crate::instance_types::bought;
use crate::objects::{self, t};

const TYPES: [(&str, &str, u32); 3] = [
    ("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24),
    ("Standard_NC40ads_H100_v5", "standardNCadsH100v5Family", 40),
    ("Standard_NC48ads_A100_v4", "standardNCADSA100v4Family", 48),
];
const A100: &str = TYPES[0].0;
const H100: &str = TYPES[1].0;

/// The record of second 0 with these processors left, and restrictions of types.
fn record(a100: u64, h100: u64, shut: &[&str]) -> CapacityRecord {
    let quota = |left| VcpuQuota {
        limit: 1000,
        used: 1000 - left,
    };
    CapacityRecord {
        region: "eastus2".to_owned(),
        read_at: Some(Time(t(0))),
        on_demand: Some(quota(1000)),
        spot: Some(quota(30)),
        families: [
            (TYPES[0].1.to_owned(), quota(a100)),
            (TYPES[1].1.to_owned(), quota(h100)),
        ]
        .into(),
        instance_types: TYPES
            .iter()
            .map(|(name, family, vcpus)| {
                let facts = TypeCapacity {
                    family: (*family).to_owned(),
                    vcpus: *vcpus,
                    zones: vec!["1".to_owned(), "2".to_owned()],
                    restriction: if shut.contains(name) {
                        "QuotaId".to_owned()
                    } else {
                        String::new()
                    },
                };
                (name.to_lowercase(), facts)
            })
            .collect(),
    }
}

fn knowing(mut case: Case, record: CapacityRecord) -> Case {
    case.observed.capacity = Some(ObservedCapacity {
        record: Arc::new(record),
        waiting: Default::default(),
    });
    case
}

fn on(ladder: &[&str]) -> Case {
    Case::serving("phi-4").on(&ladder.join(","))
}

fn attempts(plan: &plan::Plan) -> Vec<LaunchAttempt> {
    let status = plan.status.as_ref().unwrap();
    serde_json::from_value(status["attempts"].clone()).unwrap_or_default()
}

#[test]
fn a_ladder_leaves_out_what_the_quota_does_not_hold() {
    for kind in ClaimKind::ALL {
        let case = knowing(on(&[A100, H100]).claiming(kind), record(6, 40, &[]));
        let plan = case.plan();
        assert_eq!(plan_check::check(&plan), vec![]);
        let all = attempts(&plan);
        let [attempt] = &all[..] else { panic!("{all:?}") };
        let words = "24 vCPUs of standardNCADSA100v4Family asked, 6 left in eastus2";
        assert_eq!(
            [
                &attempt.instance_type,
                &attempt.claim,
                &attempt.reason,
                &attempt.message
            ],
            [A100, "", "QuotaTooSmall", words]
        );
        let says = condition(&plan, "WorkspaceReady");
        let note = format!("QuotaTooSmall: {A100} is left out: {words}. Ask the owner of the subscription");
        assert!(says.contains(&note), "{says}");
        let event = plan.events.iter().find(|event| event.reason == "QuotaTooSmall");
        assert!(event.is_some(), "{:?}", plan.events);
        let case = case.stored().stored();
        assert_eq!(bought(&case), [H100]);
        let again = case.plan();
        assert_eq!((again.status, again.events), (None, vec![]));
    }
    let shut = knowing(on(&[A100, H100]), record(999, 999, &[A100]));
    assert_eq!(attempts(&shut.plan())[0].reason, "InstanceTypeRestricted");
    assert_eq!(bought(&shut.stored().stored()), [H100]);
}

#[test]
fn a_single_type_is_asked_for_with_a_note() {
    let case = knowing(on(&[A100]), record(6, 40, &[]));
    let plan = case.plan();
    assert_eq!(attempts(&plan), vec![]);
    let says = condition(&plan, "WorkspaceReady");
    let note = format!(
        "QuotaTooSmall: {A100}: 24 vCPUs of standardNCADSA100v4Family asked, 6 left in eastus2; it is asked for nevertheless."
    );
    assert!(says.contains(&note), "{says}");
    assert_eq!(bought(&case.stored().stored()), [A100]);
}

#[test]
fn a_ladder_without_an_open_type_takes_the_first() {
    let case = knowing(on(&[H100, A100]), record(6, 6, &[A100]));
    let plan = case.plan();
    let says = condition(&plan, "WorkspaceReady");
    let note = format!(
        "QuotaTooSmall: {H100}: 40 vCPUs of standardNCadsH100v5Family asked, 6 left in eastus2; it is asked"
    );
    assert!(says.contains(&note), "{says}");
    assert_eq!(attempts(&plan), vec![], "nothing is left out");
    assert_eq!(bought(&case.stored().stored()), [H100]);
}

#[test]
fn what_was_asked_for_stays_and_counts_no_more() {
    // The claim was made before the facts were known.
    let mut case = on(&[A100, H100]).stored().stored();
    for claim in &mut case.observed.claims {
        objects::metadata(claim).creation_timestamp = Some(Time(t(-5)));
    }
    let case = knowing(case, record(6, 40, &[]));
    assert_eq!(bought(&case.clone().stored()), [A100]);
    let says = case.plan().status;
    assert!(says.is_none_or(|status| !status.to_string().contains("QuotaTooSmall")));
    // A workload exists: nothing is looked at, even if the facts are there.
    let running = on(&[A100]).stored().with_nodes(1, 1).stored().answering();
    let known = knowing(running.clone(), record(0, 0, &[A100, H100]));
    assert_eq!(known.plan(), running.plan());
}

#[test]
fn old_facts_are_ignored() {
    let mut case = knowing(on(&[A100, H100]), record(0, 40, &[]));
    case.now = t(0) + SignedDuration::from_hours(2);
    assert_eq!(bought(&case.stored().stored()), [A100]);
}

#[test]
fn spot_nodes_count_in_their_own_quota() {
    let spot = |name: &str| {
        let mut case = on(&[A100, H100]).claiming(ClaimKind::NodeClaim);
        case.settings.offerings.capacity_types = name.split(',').map(str::to_owned).collect();
        knowing(case, record(0, 40, &[])).stored().stored()
    };
    assert_eq!(bought(&spot("spot")), [A100]);
    assert_eq!(bought(&spot("spot,on-demand")), [A100]);
    assert_eq!(bought(&spot("on-demand")), [H100]);
    assert_eq!(bought(&spot("reserved")), [A100]);
}

proptest! {
    /// Whatever the facts say, one type is asked for: the first that is open, or else the first of all.
    #[test]
    fn some_type_is_always_asked_for(
        a100 in 0_u64..100, h100 in 0_u64..100, shut in 0_u8..8, order in Just(vec![0_usize, 1, 2]).prop_shuffle(), length in 1_usize..4,
    ) {
        let shut: Vec<&str> = TYPES.iter().enumerate().filter(|(at, _)| (shut >> at) & 1 == 1).map(|(_, found)| found.0).collect();
        let ladder: Vec<(&str, &str, u32)> = order[..length].iter().map(|at| TYPES[*at]).collect();
        let names: Vec<&str> = ladder.iter().map(|found| found.0).collect();
        let record = record(a100, h100, &shut);
        let is_open = |(name, family, vcpus): &&(&str, &str, u32)| {
            !shut.contains(name) && record.families[*family].left() >= u64::from(*vcpus)
        };
        let expected = ladder.iter().find(is_open).unwrap_or(&ladder[0]).0;
        let mut case = knowing(on(&names), record.clone());
        case.settings.mode = ProvisionerMode::NodeClaim;
        prop_assert_eq!(case.plan(), case.plan());
        // The first plan stores the finalizer, the second one asks, and the third one shows that it did.
        let case = case.stored().stored().stored();
        prop_assert_eq!(bought(&case), vec![expected.to_owned()]);
        let again = case.plan();
        prop_assert!(again.status.is_none() && again.writes.iter().all(|write| matches!(write, plan::Write::Apply(_))));
    }
}

#[test]
fn facts_about_other_types_change_nothing() {
    let plain = on(&[A100, H100]);
    let unknown = CapacityRecord {
        instance_types: Default::default(),
        ..record(0, 0, &[])
    };
    assert_eq!(knowing(plain.clone(), unknown).plan(), plain.plan());
    assert_eq!(
        knowing(plain.clone(), CapacityRecord::default()).plan(),
        plain.plan()
    );
}
