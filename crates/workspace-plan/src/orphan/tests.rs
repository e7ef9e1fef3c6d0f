//! Claims with and without a Workspace.

use kaito_api::{Machine, NodeClaim};
use serde_json::{Value, json};

use super::*;
use crate::testing;

const MINUTE: Duration = Duration::from_mins(1);

fn object(ordinal: u32) -> Value {
    json!({
        "metadata": {
            "name": names::claim("ns", "w", "u", ordinal),
            "uid": format!("uid-{ordinal}"),
            "labels": {
                "app.kubernetes.io/managed-by": "workspace-controller",
                "kaito.sh/workspace": "w",
                "kaito.sh/workspacenamespace": "ns",
                "kaito.sh/workspace-uid": "u",
                "kaito.sh/ordinal": ordinal.to_string(),
            },
            "annotations": {"kaito.sh/node-count": "2"},
        },
        "spec": {
            "nodeClassRef": {"group": "g", "kind": "k", "name": "n"},
            "requirements": [{
                "key": "node.kubernetes.io/instance-type", "operator": "In",
                "values": ["Standard_NC24ads_A100_v4"],
            }],
        },
    })
}

fn machine(value: Value) -> Claim {
    serde_json::from_value::<Machine>(value).unwrap().into()
}

fn claim(ordinal: u32) -> Claim {
    machine(object(ordinal))
}

#[test]
fn only_claims_that_this_controller_made_have_an_owner() {
    let owner = ClaimOwner {
        namespace: "ns",
        name: "w",
        uid: "u",
    };
    assert_eq!(ClaimOwner::of(&claim(0)), Some(owner));
    let node_claim: NodeClaim = serde_json::from_value(object(1)).unwrap();
    assert_eq!(ClaimOwner::of(&node_claim.into()), Some(owner));
    for (pointer, value) in [
        ("/metadata/name", "ws000000000"),
        ("/metadata/labels/kaito.sh~1workspace", "other"),
        ("/metadata/labels/kaito.sh~1workspacenamespace", "other"),
        ("/metadata/labels/kaito.sh~1workspace-uid", "other"),
        ("/metadata/labels/kaito.sh~1ordinal", "1"),
        ("/metadata/labels/kaito.sh~1ordinal", "x"),
        (
            "/metadata/labels/app.kubernetes.io~1managed-by",
            "another-controller",
        ),
    ] {
        let mut other = object(0);
        *other.pointer_mut(pointer).unwrap() = value.into();
        assert_eq!(ClaimOwner::of(&machine(other)), None, "{pointer}={value}");
    }
    let mut terminating = object(0);
    terminating["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(ClaimOwner::of(&machine(terminating)), None);
    let mut unmarked = object(0);
    unmarked["metadata"]["annotations"] = json!({});
    let unmarked: NodeClaim = serde_json::from_value(unmarked).unwrap();
    assert_eq!(ClaimOwner::of(&unmarked.into()), None);
}

#[test]
fn a_claim_is_deleted_after_two_minutes_and_a_live_answer() {
    let mut memory = OrphanMemory::default();
    let one = claim(0);
    assert_eq!(
        memory.record(&one, false, MINUTE),
        Some(Ownership::Unseen(Duration::ZERO))
    );
    assert_eq!(
        memory.record(&one, false, MINUTE * 2),
        Some(Ownership::Unseen(MINUTE))
    );
    // A Workspace that appears ends the wait.
    assert_eq!(memory.record(&one, true, MINUTE * 2), Some(Ownership::Owned));
    assert_eq!(
        memory.record(&one, false, MINUTE * 3),
        Some(Ownership::Unseen(Duration::ZERO))
    );
    assert_eq!(memory.record(&one, false, MINUTE * 5), None);
    assert_eq!(memory.confirm(&one, true, MINUTE * 5), Ownership::Lagging);
    assert_eq!(
        memory.record(&one, false, MINUTE * 5),
        Some(Ownership::Unseen(Duration::ZERO))
    );
    assert_eq!(memory.record(&one, false, MINUTE * 7), None);
    assert_eq!(memory.confirm(&one, false, MINUTE * 7), Ownership::Orphaned);
}

#[test]
fn another_claim_of_the_name_begins_anew() {
    let mut memory = OrphanMemory::default();
    assert!(memory.record(&claim(0), false, Duration::ZERO).is_some());
    let mut again = object(0);
    again["metadata"]["uid"] = "later".into();
    let again = machine(again);
    assert_eq!(
        memory.record(&again, false, MINUTE * 9),
        Some(Ownership::Unseen(Duration::ZERO))
    );
}

#[test]
fn at_most_five_are_deleted_in_a_minute() {
    let mut memory = OrphanMemory::default();
    let second = Duration::from_secs(1);
    for ordinal in 0..5 {
        let at = second * ordinal;
        assert_eq!(memory.confirm(&claim(ordinal), false, at), Ownership::Orphaned);
    }
    assert_eq!(
        memory.confirm(&claim(5), false, second * 10),
        Ownership::Braked(second * 50)
    );
    assert_eq!(memory.confirm(&claim(5), false, second * 60), Ownership::Orphaned);
}

#[test]
fn the_deletion_names_the_claim_and_its_price() {
    let plan = |ownership| {
        let observed = ObservedClaim {
            claim: claim(0),
            ownership,
        };
        plan_claim(&observed, &testing::settings())
    };
    let orphaned = plan(Ownership::Orphaned);
    assert_eq!(orphaned.writes, [build::delete_claim(&claim(0))]);
    let message = &orphaned.events[0].message;
    assert!(message.contains("Workspace ns/w, which is gone"), "{message}");
    assert!(
        message.contains("Standard_NC24ads_A100_v4, costs $3.67/h"),
        "{message}"
    );
    assert_eq!(plan(Ownership::Owned), Plan::default());
    assert_eq!(plan(Ownership::Unseen(MINUTE)).requeue, Some(MINUTE));
    assert_eq!(plan(Ownership::Braked(MINUTE)).requeue, Some(MINUTE));
    assert!(plan(Ownership::Lagging).is_noop());
}
