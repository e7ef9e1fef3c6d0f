//! Tests of what the page shows.

use kaito_api::NodeClaim;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T11:00:00Z";

fn facts(name: &str, status: &Value, claims: &[Value]) -> WorkspaceFacts {
    let workspace = serde_json::from_value(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
        "metadata": {"name": name, "namespace": "n", "creationTimestamp": "2026-01-01T10:00:00Z"},
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {}},
        "inference": {"preset": {"name": "phi-4"}}, "status": status,
    }))
    .unwrap();
    let claims = claims.iter().map(|claim| {
        let claim: NodeClaim = serde_json::from_value(claim.clone()).unwrap();
        claim.into()
    });
    WorkspaceFacts {
        workspace,
        claims: Some(claims.collect()),
        notes: vec!["You may not watch pods, so they are left out.".to_owned()],
        ..WorkspaceFacts::default()
    }
}

fn claim(name: &str, node: &str, launched: &str, reason: &str) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T10:00:00Z"},
        "spec": {
            "nodeClassRef": {"group": "g", "kind": "k", "name": "d"},
            "requirements": [{
                "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"],
            }],
        },
        "status": {"nodeName": node, "conditions": [{
            "type": "Launched", "status": launched, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-01-01T10:00:00Z",
        }]},
    })
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    let remedy = ReasonText::find(reason).map_or("", |text| text.remedy);
    json!({
        "type": kind, "status": status, "reason": reason, "message": format!("no quota {remedy}"),
        "lastTransitionTime": "2026-01-01T10:00:00Z",
    })
}

fn fleet(all: Vec<WorkspaceFacts>) -> Value {
    let view = FleetView::of_facts(all, "all namespaces", NOW.parse().unwrap());
    serde_json::to_value(view).unwrap()
}

#[test]
fn those_that_need_a_person_come_first() {
    let well =
        json!({"state": "Ready", "workerNodes": ["n1"], "targetNodeCount": 1, "endpoint": "http://a.n.svc"});
    let stuck = json!({"state": "Pending", "reason": "SubscriptionQuotaReached", "conditions": [
        condition("ResourceReady", "False", "SubscriptionQuotaReached"),
        condition("WorkspaceSucceeded", "False", "SubscriptionQuotaReached"),
    ]});
    let shown = fleet(vec![
        facts("a", &well, &[claim("c1", "n1", "True", "Launched")]),
        facts("b", &json!({"state": "Pending"}), &[]),
        facts(
            "c",
            &stuck,
            &[claim("c2", "", "False", "SubscriptionQuotaReached")],
        ),
        facts("d", &json!({"state": "Failed", "reason": "Unheard"}), &[]),
    ]);
    let cards = shown["workspaces"].as_array().unwrap();
    let order: Vec<_> = cards
        .iter()
        .map(|card| (card["name"].as_str(), card["tone"].as_str()))
        .collect();
    let expected = [("c", "bad"), ("d", "bad"), ("b", "busy"), ("a", "good")];
    assert_eq!(order, expected.map(|(name, tone)| (Some(name), Some(tone))));
    let problems = cards[0]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "said once: {problems:?}");
    assert_eq!(problems[0]["message"], "no quota");
    assert!(
        problems[0]["remedy"]
            .as_str()
            .unwrap()
            .contains("Ask for more quota")
    );
    assert_eq!(cards[1]["problems"][0]["reason"], "Unheard");
    // What concerns all Workspaces is not said at each.
    assert_eq!(cards[3].get("notes"), None);
    assert_eq!(cards[3]["ageSeconds"], 3600);
    let totals = &shown["totals"];
    assert_eq!(
        (&totals["workspaces"], &totals["well"], &totals["attention"]),
        (&json!(4), &json!(1), &json!(2))
    );
    assert_eq!(totals["cost"]["usdMicrosPerHour"], 3_673_000);
    assert_eq!(totals["cost"]["spentUsdMicros"], 3_673_000);
    assert_eq!(shown["now"], 1_767_265_200_000_i64);
}

#[test]
fn each_node_is_a_row() {
    let status = json!({"state": "Pending", "workerNodes": ["n1", "mine"]});
    let claims = [
        claim("c1", "n1", "True", "Launched"),
        claim("c2", "", "False", "AllocationFailure"),
        claim("c3", "", "True", "Launched"),
    ];
    let shown = fleet(vec![facts("a", &status, &claims)]);
    let rows = shown["nodes"].as_array().unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            (
                text("claim"),
                text("node"),
                text("state"),
                row["isPriced"] == true,
            )
        })
        .collect();
    let expected = [
        ("c1", "n1", "ready", true),
        ("c2", "", "AllocationFailure", true),
        ("c3", "", "waiting", true),
        ("", "mine", "ready", false),
    ];
    assert_eq!(rows, expected);
}
