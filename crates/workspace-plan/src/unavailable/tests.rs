//! Tests of the memory: how long it lasts, what it counts, and its bounds.

use kaito_api::{NodeClaim, labels};
use serde_json::json;

use super::*;

fn claim(instance_type: &str, group: &str, reason: &str, deleted: bool) -> Claim {
    let status = if reason.is_empty() { "True" } else { "Unknown" };
    let mut object = json!({
        "metadata": {"name": "c", "uid": "u"},
        "spec": {
            "nodeClassRef": {"group": group, "kind": "KaitoNodeClass", "name": "default"},
            "requirements": [
                {"key": labels::INSTANCE_TYPE, "operator": "In", "values": [instance_type]},
                {"key": labels::CAPACITY_TYPE, "operator": "In", "values": ["spot", "on-demand"]},
                {"key": labels::ZONE, "operator": "In", "values": ["2", "1"]},
            ],
        },
        "status": {"conditions": [{
            "type": "Launched", "status": status, "reason": reason, "message": "none left",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }]},
    });
    if deleted {
        object["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:20Z");
    }
    serde_json::from_value::<NodeClaim>(object).unwrap().into()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn names(memory: &UnavailableTypes, now: i64) -> Vec<String> {
    let all = memory.all(at(now));
    let name =
        |found: &Arc<UnavailableType>| format!("{} {}", found.offer.instance_type, found.reason.as_str());
    all.iter().map(name).collect()
}

#[test]
fn refusals_are_remembered_for_a_while_and_a_launch_ends_them() {
    let mut memory = UnavailableTypes::default();
    let refused = |reason| claim("Big", "kaito.sh", reason, false);
    for (reason, minutes) in [
        ("AllocationFailure", 10),
        ("SubscriptionQuotaReached", 15),
        ("SKUNotAvailable", 60),
    ] {
        memory = UnavailableTypes::default();
        memory.record(Some(&refused("InstanceCreating")), Some(&refused(reason)), at(0));
        let expected = [format!("big {reason}")];
        assert_eq!(names(&memory, minutes * 60 - 1), expected);
        assert!(names(&memory, minutes * 60).is_empty(), "{reason}");
    }
    memory.record(Some(&refused("")), Some(&refused("")), at(1));
    assert_eq!(names(&memory, 2).len(), 1);
    memory.record(Some(&refused("InstanceCreating")), Some(&refused("")), at(3));
    assert!(names(&memory, 4).is_empty());
    for reason in [
        "ClusterFull",
        "NoAddresses",
        "Throttled",
        "InstanceCreating",
        "Odd",
    ] {
        memory.record(None, Some(&refused(reason)), at(5));
        assert!(names(&memory, 5).is_empty(), "{reason}");
    }
}

#[test]
fn the_order_of_zones_and_capacity_types_does_not_matter() {
    let found = Offer::of(&claim("Big", "kaito.sh", "", false)).unwrap();
    let allowed = |types: &[&str], zones: &[&str]| kaito_api::AllowedOfferings {
        capacity_types: types.iter().map(|&word| word.to_owned()).collect(),
        zones: zones.iter().map(|&zone| zone.to_owned()).collect(),
    };
    let offer = |name: &str, types: &[&str], zones: &[&str]| Offer::new(name, &allowed(types, zones));
    assert_eq!(found, offer("big", &["on-demand", "spot"], &["1", "2"]));
    assert_ne!(found, offer("big", &[], &["1", "2"]));
    assert_eq!(offer("big", &[], &[]), offer("BIG", &["on-demand"], &[]));
}

#[test]
fn a_karpenters_claim_counts_once_it_is_given_up_or_has_no_capacity() {
    let group = "karpenter.example.com";
    let failed = claim("Big", group, "LaunchFailed", false);
    let mut memory = UnavailableTypes::default();
    memory.record(None, Some(&failed), at(30));
    memory.record(Some(&failed), None, at(10));
    assert!(
        names(&memory, 31).is_empty(),
        "it lives, or it was deleted at once"
    );
    memory.record(
        Some(&failed),
        Some(&claim("Big", group, "LaunchFailed", true)),
        at(20),
    );
    assert_eq!(names(&memory, 31), ["big NodeClaimNotLaunched"]);

    let mut memory = UnavailableTypes::default();
    let event = |reason: &str| -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "reason": reason, "message": "NodeClaim c event: none left",
        }))
        .unwrap()
    };
    let offer = Offer::of(&failed).unwrap();
    memory.record_event(&event("NodeClassNotReady"), offer.clone(), at(0));
    assert!(names(&memory, 0).is_empty());
    memory.record_event(&event("InsufficientCapacityError"), offer, at(0));
    assert_eq!(names(&memory, 0), ["big NodeClaimLost"]);
    assert_eq!(memory.all(at(0))[0].message, "none left");
}

#[test]
fn the_memory_is_bounded_and_its_times_move_rarely() {
    let mut memory = UnavailableTypes::default();
    for number in 0..1000 {
        let refused = claim(&format!("type{number}"), "kaito.sh", "AllocationFailure", false);
        memory.record(None, Some(&refused), at(number / 100));
    }
    let all = memory.all(at(9));
    assert_eq!(all.len(), MOST);
    assert!(
        all.iter().all(|found| found.since >= at(7)),
        "the oldest give way"
    );
    let refused = claim("Big", "kaito.sh", "AllocationFailure", false);
    let mut memory = UnavailableTypes::default();
    let mut until = |now| {
        memory.record(None, Some(&refused), at(now));
        memory.all(at(now))[0].until
    };
    assert_eq!((until(0), until(299), until(300)), (at(600), at(600), at(900)));
}

/// A claim with an instance since second 0, whose Node is registered or not.
fn launched(group: &str, registered: &str) -> Claim {
    let Claim::NodeClaim(claim) = claim("Big", group, "", false) else {
        panic!()
    };
    let mut object = serde_json::to_value(claim.as_ref()).unwrap();
    object["status"]["conditions"].as_array_mut().unwrap().push(json!({
        "type": "Registered", "status": registered, "reason": "NodeNotFound", "message": "Node not registered with cluster",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }));
    serde_json::from_value::<NodeClaim>(object).unwrap().into()
}

#[test]
fn an_offer_whose_nodes_never_join_counts_as_refused_after_the_second() {
    let group = "karpenter.example.com";
    let unjoined = launched(group, "Unknown");
    let expected = ["big NodeNeverJoined"];
    let mut memory = UnavailableTypes::default();
    memory.record(Some(&unjoined), None, at(599));
    memory.record(Some(&launched(group, "True")), None, at(900));
    memory.record(Some(&unjoined), None, at(900));
    assert!(
        names(&memory, 901).is_empty(),
        "one may be chance, and one that goes early says nothing"
    );
    memory.record(Some(&unjoined), None, at(1800));
    assert_eq!(names(&memory, 1801), expected);
    assert_eq!(
        memory.all(at(1801))[0].message,
        "NodeNotFound: Node not registered with cluster"
    );
    // Another instance of it says nothing, and a Node of it ends the memory.
    let asks = claim("Big", group, "InstanceCreating", false);
    memory.record(Some(&asks), Some(&unjoined), at(1900));
    assert_eq!(names(&memory, 1800 + 3599), expected);
    memory.record(Some(&unjoined), Some(&launched(group, "True")), at(2000));
    assert!(names(&memory, 2001).is_empty());
    memory.record(Some(&unjoined), None, at(3000));
    assert!(names(&memory, 3001).is_empty(), "it is the first one again");
    memory.record(Some(&unjoined), None, at(3000 + 7200));
    assert!(
        names(&memory, 3001 + 7200).is_empty(),
        "the first one is long ago"
    );
}

#[test]
fn a_gpu_provisioner_counts_nodes_that_never_join_by_itself() {
    let mut memory = UnavailableTypes::default();
    let own = launched("kaito.sh", "Unknown");
    for second in [1000, 2000, 3000] {
        memory.record(Some(&own), None, at(second));
    }
    assert!(names(&memory, 3001).is_empty());
    let refused = claim("Big", "kaito.sh", "NodeNeverJoined", false);
    memory.record(Some(&own), Some(&refused), at(4000));
    assert_eq!(names(&memory, 4001), ["big NodeNeverJoined"]);
    memory.record(Some(&refused), Some(&own), at(5000));
    assert_eq!(
        names(&memory, 5001),
        ["big NodeNeverJoined"],
        "an instance is no Node"
    );
    assert!(names(&memory, 4000 + 3600).is_empty());
}
