//! Tests of the cost of nodes.

use kaito_api::Machine;
use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T02:00:00Z".parse().unwrap()
}

fn claim(instance_type: &str, launched: &str) -> Claim {
    let machine: Machine = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
        "metadata": {"name": "c", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [instance_type]},
        ]},
        "status": {"conditions": [
            {"type": "MachineLaunched", "status": launched, "lastTransitionTime": "2026-01-01T00:30:00Z"},
        ]},
    }))
    .unwrap();
    machine.into()
}

#[test]
fn a_claim_costs_from_its_launch() {
    let claims = [
        claim("Standard_NC24ads_A100_v4", "True"),
        claim("Standard_NC24ads_A100_v4", "False"),
        claim("g5.xlarge", "True"),
        claim("unheard-of", "True"),
    ];
    let bill = Bill::of_claims(&claims, now());
    assert_eq!((bill.nodes, bill.gpus, bill.unpriced_nodes), (3, 2, 1));
    let both = price_of("Standard_NC24ads_A100_v4").unwrap() + price_of("g5.xlarge").unwrap();
    assert_eq!(bill.usd_micros_per_hour, both);
    assert_eq!(bill.spent_usd_micros, both * 3 / 2);
    let unknown = Bill::of_claims(&claims[3..], now());
    assert_eq!((unknown.price().as_str(), unknown.spent().as_str()), ("?", "?"));
}

#[test]
fn the_status_says_it_too() {
    let workspace: Workspace = serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "w"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4"},
        "status": {
            "workerNodes": ["a", "b"],
            "offerings": [
                {"capacityType": "spot", "zone": "eastus2-1", "nodes": 1}, {"capacityType": "on-demand", "nodes": 1},
            ],
            "coldStart": {"launched": "2026-01-01T01:00:00Z", "usdPerHour": "7.35"},
        },
    }))
    .unwrap();
    let bill = Bill::of_status(&workspace, now());
    assert_eq!((bill.nodes, bill.gpus, bill.spot_nodes), (2, 2, 1));
    assert_eq!((bill.price().as_str(), bill.spent().as_str()), ("7.35", "7.35"));
}

#[test]
fn odd_numbers_cost_nothing() {
    assert_eq!((micros("-1"), micros("NaN"), micros("")), (None, None, None));
    assert_eq!(cost(1_000_000, SignedDuration::from_secs(-5)), 0);
}
