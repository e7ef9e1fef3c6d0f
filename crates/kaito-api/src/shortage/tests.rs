//! Tables of records and questions.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::machine::Machine;

const FAMILY: &str = "standardNCADSA100v4Family";

fn record() -> CapacityRecord {
    let quota = |limit, used| VcpuQuota { limit, used };
    let facts = |family: &str, zones: &[&str], restriction: &str| TypeCapacity {
        family: family.to_owned(),
        vcpus: 24,
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        restriction: restriction.to_owned(),
    };
    CapacityRecord {
        region: "eastus2".to_owned(),
        read_at: Some(Time(Timestamp::UNIX_EPOCH)),
        on_demand: Some(quota(100, 40)),
        spot: Some(quota(30, 0)),
        families: [
            (FAMILY.to_owned(), quota(96, 66)),
            ("wide".to_owned(), quota(1000, 0)),
        ]
        .into(),
        instance_types: [
            ("a100".to_owned(), facts(FAMILY, &["1", "3"], "")),
            ("wide".to_owned(), facts("wide", &[], "")),
            (
                "shut".to_owned(),
                facts(FAMILY, &["1"], "NotAvailableForSubscription"),
            ),
            ("new".to_owned(), facts("unknown", &["1"], "")),
        ]
        .into(),
    }
}

fn allowed(types: &str, zones: &str) -> AllowedOfferings {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    AllowedOfferings {
        capacity_types: words(types),
        zones: words(zones),
    }
}

fn words(name: &str, nodes: u32, types: &str, zones: &str) -> String {
    let found = record().shortage(name, nodes, &allowed(types, zones), &WaitingVcpus::default());
    found.map_or_else(String::new, |found| match found {
        Shortage::Restricted(words) => format!("restricted: {words}"),
        Shortage::Quota(words) => words,
    })
}

#[test]
fn quota_is_that_of_the_capacity_types() {
    for (name, nodes, types, expected) in [
        ("A100", 1, "", ""),
        (
            "A100",
            2,
            "",
            "48 vCPUs of standardNCADSA100v4Family asked, 30 left in eastus2",
        ),
        (
            "a100",
            2,
            "on-demand",
            "48 vCPUs of standardNCADSA100v4Family asked, 30 left in eastus2",
        ),
        ("a100", 2, "spot", "48 spot vCPUs asked, 30 left in eastus2"),
        // One of each.
        ("a100", 2, "spot on-demand", ""),
        (
            "a100",
            3,
            "spot on-demand",
            "72 spot vCPUs asked, 30 left in eastus2; 72 vCPUs of standardNCADSA100v4Family asked, 30 left in eastus2",
        ),
        ("wide", 2, "", ""),
        (
            "wide",
            3,
            "",
            "72 vCPUs asked, 60 of all families left in eastus2",
        ),
        ("a100", 9, "reserved", ""),
        ("a100", 9, "on-demand reserved", ""),
        ("a100", 0, "", ""),
        // Unknown is allowed.
        ("new", 99, "", ""),
        ("other", 99, "", ""),
    ] {
        assert_eq!(words(name, nodes, types, ""), expected, "{nodes} {name} {types}");
    }
}

#[test]
fn a_restriction_is_that_of_the_region_or_of_all_zones() {
    for (name, zones, expected) in [
        ("a100", "", ""),
        ("a100", "2 3", ""),
        ("a100", "eastus2-1", ""),
        (
            "a100",
            "EastUS2-2",
            "restricted: the subscription may not use it in zone EastUS2-2 of eastus2",
        ),
        (
            "a100",
            "2",
            "restricted: the subscription may not use it in zone 2 of eastus2",
        ),
        (
            "a100",
            "westus-1",
            "restricted: the subscription may not use it in zone westus-1 of eastus2",
        ),
        // A type without zones can be had without one.
        ("wide", "", ""),
        (
            "wide",
            "1",
            "restricted: the subscription may not use it in zone 1 of eastus2",
        ),
        (
            "shut",
            "",
            "restricted: the subscription may not use it in eastus2 (NotAvailableForSubscription)",
        ),
    ] {
        assert_eq!(words(name, 1, "", zones), expected, "{name} {zones}");
    }
    assert_eq!(words("shut", 1, "reserved", ""), "");
}

fn claim(name: &str, types: &[&str], age: i64) -> Claim {
    let created = Timestamp::UNIX_EPOCH - SignedDuration::from_secs(age);
    let machine: Machine = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
        "metadata": {"name": "m", "creationTimestamp": created.to_string()},
        "spec": {"requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [name]},
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": types},
        ]},
    }))
    .unwrap();
    machine.into()
}

#[test]
fn claims_that_the_quotas_do_not_show_yet_are_subtracted() {
    let of = |claims: &[Claim]| {
        let waiting = record().waiting(claims);
        let found = record().shortage("a100", 1, &AllowedOfferings::default(), &waiting);
        found.map_or_else(String::new, |found| found.words().to_owned())
    };
    let short = "24 vCPUs of standardNCADSA100v4Family asked, 6 left in eastus2";
    assert_eq!(of(&[claim("A100", &["on-demand"], -1)]), short);
    // Counted in the quota already, or refused.
    assert_eq!(of(&[claim("A100", &["on-demand"], 1)]), "");
    assert_eq!(of(&[claim("A100", &["spot", "on-demand"], -1)]), "");
    assert_eq!(
        of(&[claim("A100", &["reserved"], -1), claim("other", &[], -1)]),
        ""
    );
    // Other families count in the quota of all.
    let many = vec![claim("wide", &[], -1); 2];
    assert_eq!(of(&many), "24 vCPUs asked, 12 of all families left in eastus2");
}

#[test]
fn the_room_is_shown_for_each_choice_of_capacity() {
    let left = |name: &str, types: &str| record().vcpus_left(name, &allowed(types, ""));
    assert_eq!(left("a100", ""), Some(30));
    assert_eq!(left("a100", "spot on-demand"), Some(60));
    assert_eq!(left("wide", ""), Some(60));
    for (name, types) in [("a100", "reserved"), ("new", ""), ("other", "")] {
        assert_eq!(left(name, types), None, "{name}");
    }
}
