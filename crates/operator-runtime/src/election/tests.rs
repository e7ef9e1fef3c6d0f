//! Decisions about leases.

use serde_json::json;

use super::*;

const OWN: Duration = Duration::from_secs(15);

fn lease(version: u64, holder: Option<&str>) -> Lease {
    serde_json::from_value(json!({
        "metadata": { "name": "l", "resourceVersion": version.to_string() },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4 },
    }))
    .unwrap()
}

#[test]
fn a_free_lease_and_our_own_are_taken() {
    let now = Instant::now();
    for holder in [None, Some(""), Some("me")] {
        assert_eq!(
            Sighting::default().decide(&lease(1, holder), "me", OWN, now),
            Decision::Take,
            "{holder:?}"
        );
    }
}

#[test]
fn anothers_lease_expires_when_it_has_not_changed_for_its_duration() {
    let (start, mut sighting) = (Instant::now(), Sighting::default());
    let mut at = |seconds, version| {
        sighting.decide(
            &lease(version, Some("you")),
            "me",
            OWN,
            start + Duration::from_secs(seconds),
        )
    };
    assert_eq!(at(0, 1), Decision::Wait);
    assert_eq!(at(14, 1), Decision::Wait);
    // Renewed: the count starts again.
    assert_eq!(at(15, 2), Decision::Wait);
    assert_eq!(at(29, 2), Decision::Wait);
    assert_eq!(at(30, 2), Decision::Take);
}

#[test]
fn a_lease_of_years_is_not_believed() {
    let (start, mut sighting) = (Instant::now(), Sighting::default());
    let mut lease = lease(1, Some("you"));
    lease.spec.as_mut().unwrap().lease_duration_seconds = Some(i32::MAX);
    let mut after = |seconds| {
        let now = start + Duration::from_secs(seconds);
        sighting.decide(&lease, "me", OWN, now)
    };
    assert_eq!(after(0), Decision::Wait);
    assert_eq!(after(59), Decision::Wait);
    assert_eq!(after(60), Decision::Take);
}

#[test]
fn a_token_names_the_holder_and_the_renewal() {
    let mut lease = lease(1, Some("me"));
    assert_eq!(token(&lease), None, "never renewed");
    lease.spec = Some(taken(Some(&lease), "me", OWN, Timestamp::UNIX_EPOCH));
    assert_eq!(token(&lease).unwrap(), "4/1970-01-01T00:00:00Z");
}

#[test]
fn transitions_count_changes_of_the_holder() {
    let now = Timestamp::UNIX_EPOCH;
    let spec = |lease: Option<&Lease>| taken(lease, "me", Duration::from_secs(15), now);
    assert_eq!(spec(Some(&lease(1, Some("you")))).lease_transitions, Some(5));
    assert_eq!(spec(Some(&lease(1, Some("me")))).lease_transitions, Some(4));
    assert_eq!(spec(None).lease_duration_seconds, Some(15));
    assert_eq!(released(&lease(1, Some("me")), now).holder_identity, None);
}
