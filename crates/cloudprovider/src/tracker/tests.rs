//! Tests of what is remembered of the cloud's answers.

use super::*;
use crate::call::CloudCall;
use crate::instance::{InstanceState, Ownership};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn error(class: ErrorClass) -> ProviderError {
    ProviderError::new(class, "Code", "text")
}

fn instance() -> Instance {
    Instance {
        name: "ws1".into(),
        ..Instance::default()
    }
}

fn spec() -> LaunchSpec {
    LaunchSpec {
        name: "ws1".into(),
        ..LaunchSpec::default()
    }
}

fn read() -> Option<CloudCall> {
    Some(CloudCall::Read { name: "ws1".into() })
}

fn view(tracker: &mut InstanceTracker) -> InstanceFacts {
    tracker.view("ws1", "uid", at(0))
}

#[test]
fn an_accepted_create_is_seen_before_any_listing() {
    let mut tracker = InstanceTracker::default();
    assert_eq!(view(&mut tracker).lookup, InstanceLookup::Unknown);
    let accepted = Accepted {
        operation_url: Some("url".into()),
        ..Accepted::default()
    };
    let recorded = tracker.on_create(at(1), &spec(), Ok(accepted));
    assert_eq!((recorded.result, recorded.follow_up), (Ok(true), None));
    let seen = view(&mut tracker);
    assert!(matches!(seen.lookup, InstanceLookup::Found(found) if found.state == InstanceState::Creating));
    let call = seen.last_call.unwrap();
    assert_eq!((call.failures, call.operation_url.as_deref()), (0, Some("url")));
}

#[test]
fn a_create_whose_answer_was_lost_is_looked_up() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    let recorded = tracker.on_create(at(1), &spec(), Err(error(ErrorClass::Transient)));
    assert_eq!(recorded.follow_up, read());
    let looked_up = tracker.on_read(at(2), "ws1", Ok(instance()));
    assert!(recorded.and(looked_up.result).is_err());
    assert!(matches!(view(&mut tracker).lookup, InstanceLookup::Found(_)));
}

#[test]
fn a_create_whose_answer_was_lost_makes_earlier_reads_worthless() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    tracker.on_list(at(1), vec![]);
    tracker.on_list(at(2), vec![]);
    let _ = tracker.on_create(at(3), &spec(), Err(error(ErrorClass::Transient)));
    assert_eq!(view(&mut tracker).lookup, InstanceLookup::Unknown);
    let missed = tracker.on_read(at(4), "ws1", Err(error(ErrorClass::NotFound)));
    assert_eq!(missed.result, Ok(true));
    assert_eq!(view(&mut tracker).lookup, InstanceLookup::Absent { reads: 1 });
}

#[test]
fn a_refused_create_leaves_earlier_reads_as_they_are() {
    for (class, follow_up) in [
        (ErrorClass::Precondition, read()),
        (ErrorClass::Busy, read()),
        (ErrorClass::Throttled, None),
        (ErrorClass::Quota, None),
    ] {
        let mut tracker = InstanceTracker::default();
        view(&mut tracker);
        tracker.on_list(at(1), vec![]);
        let recorded = tracker.on_create(at(3), &spec(), Err(error(class)));
        assert_eq!(recorded.follow_up, follow_up, "{class:?}");
        assert_eq!(view(&mut tracker).lookup, InstanceLookup::Absent { reads: 1 });
    }
}

#[test]
fn failures_of_one_kind_are_counted_until_a_success() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    let refused = || Err(error(ErrorClass::Quota));
    for (answer, want) in [(refused(), 1), (refused(), 2), (Ok(Accepted::default()), 0)] {
        let _ = tracker.on_create(at(1), &spec(), answer);
        assert_eq!(view(&mut tracker).last_call.unwrap().failures, want);
    }
}

#[test]
fn a_delete_that_finds_nothing_is_a_live_read_and_no_failure() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    for second in [1, 3] {
        let gone = Err(error(ErrorClass::NotFound));
        let recorded = tracker.on_delete((at(second), at(second + 1)), "ws1", gone);
        assert_eq!((recorded.result, recorded.follow_up), (Ok(true), None));
    }
    let seen = view(&mut tracker);
    assert_eq!(seen.lookup, InstanceLookup::Absent { reads: 2 });
    assert_eq!(seen.last_call.unwrap().failures, 0);
}

#[test]
fn an_accepted_delete_or_abort_is_followed_by_a_read_whose_error_counts() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    for recorded in [
        tracker.on_delete((at(1), at(2)), "ws1", Ok(Accepted::default())),
        tracker.on_abort(at(2), "ws1", Ok(Accepted::default())),
    ] {
        assert_eq!(recorded.follow_up, read());
        assert_eq!(recorded.clone().and(Ok(false)), Ok(true));
        assert!(recorded.and(Err(error(ErrorClass::Throttled))).is_err());
    }
}

#[test]
fn an_error_is_never_absence() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    assert_eq!(tracker.on_list(at(1), vec![instance()]), ["ws1"]);
    let refused = tracker.on_read(at(2), "ws1", Err(error(ErrorClass::Unauthorized)));
    assert!(refused.result.is_err());
    assert!(matches!(view(&mut tracker).lookup, InstanceLookup::Found(_)));
}

#[test]
fn a_new_claim_of_an_old_name_starts_afresh() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    assert!(tracker.take_listing_wanted());
    let _ = tracker.on_create(at(1), &spec(), Err(error(ErrorClass::Quota)));
    assert!(view(&mut tracker).last_call.is_some());
    assert!(!tracker.take_listing_wanted());
    let other = tracker.view("ws1", "another uid", at(2));
    assert!(other.last_call.is_none() && tracker.take_listing_wanted());
}

#[test]
fn a_lost_operation_document_leaves_a_failure_without_words() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    let lost = tracker.on_operation("ws1", Err(error(ErrorClass::NotFound)));
    assert_eq!(lost.result, Ok(true));
    assert_eq!(view(&mut tracker).failure.unwrap().code, "Unexplained");
}

#[test]
fn a_document_that_cannot_be_read_is_given_up() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    for attempt in 1..MAX_OPERATION_READS {
        assert!(
            tracker
                .on_operation("ws1", Err(error(ErrorClass::Transient)))
                .result
                .is_err()
        );
        assert_eq!(view(&mut tracker).failure, None, "{attempt}");
    }
    assert_eq!(
        tracker
            .on_operation("ws1", Err(error(ErrorClass::Transient)))
            .result,
        Ok(true)
    );
    let failure = view(&mut tracker).failure.unwrap();
    assert!(
        failure.message.ends_with("cannot be read: Code: text"),
        "{failure}"
    );
    // An error that repetition does not end is not repeated.
    for class in [
        ErrorClass::Unauthorized,
        ErrorClass::Invalid,
        ErrorClass::ClusterNotFound,
    ] {
        let mut tracker = InstanceTracker::default();
        view(&mut tracker);
        assert_eq!(tracker.on_operation("ws1", Err(error(class))).result, Ok(true));
        assert!(view(&mut tracker).failure.is_some());
    }
}

#[test]
fn the_error_of_a_document_counts_whatever_its_status() {
    for status in [
        OperationStatus::Running("InProgress".into(), Some(error(ErrorClass::Quota))),
        OperationStatus::Succeeded(Some(error(ErrorClass::Quota))),
        OperationStatus::Failed(error(ErrorClass::Quota)),
    ] {
        let mut tracker = InstanceTracker::default();
        view(&mut tracker);
        assert_eq!(tracker.on_operation("ws1", Ok(status)).result, Ok(true));
        assert_eq!(view(&mut tracker).failure.unwrap().class, ErrorClass::Quota);
    }
}

#[test]
fn a_request_that_was_not_sent_changes_no_count() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    let limited = || error(ErrorClass::LocallyLimited).with_retry_after(Some(SignedDuration::from_secs(7)));
    let _ = tracker.on_create(at(1), &spec(), Err(error(ErrorClass::Quota)));
    for recorded in [
        tracker.on_create(at(2), &spec(), Err(limited())),
        tracker.on_create(at(3), &spec(), Err(limited())),
        tracker.on_abort(at(4), "ws1", Err(limited())),
        tracker.on_delete((at(5), at(5)), "ws1", Err(limited())),
    ] {
        assert!(recorded.result.is_err() && recorded.follow_up.is_none());
    }
    let facts = view(&mut tracker);
    let call = facts.last_call.unwrap();
    assert_eq!((call.at, call.kind, call.failures), (at(1), CallKind::Create, 1));
    let deferral = facts.deferral.unwrap();
    assert_eq!(
        (deferral.kind, deferral.at, deferral.until),
        (CallKind::Delete, at(5), at(12))
    );
    let _ = tracker.on_delete((at(12), at(13)), "ws1", Ok(Accepted::default()));
    assert_eq!(view(&mut tracker).deferral, None);
}

#[test]
fn the_present_state_has_a_beginning() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    let times = |tracker: &mut InstanceTracker| {
        let facts = view(tracker);
        (facts.read_at.unwrap(), facts.state_since.unwrap())
    };
    tracker.on_list(at(1), vec![instance()]);
    tracker.on_list(at(5), vec![instance()]);
    assert_eq!(times(&mut tracker), (at(5), at(1)));
    let stopped = Instance {
        stopped: true,
        ..instance()
    };
    let _ = tracker.on_read(at(7), "ws1", Ok(stopped));
    assert_eq!(times(&mut tracker), (at(7), at(7)));
    tracker.on_list(at(9), vec![instance()]);
    assert_eq!(times(&mut tracker), (at(9), at(9)));
}

/// An instance of ours in zone 1.
fn zonal(state: InstanceState, failure: Option<ProviderError>) -> Instance {
    Instance {
        owner: Ownership::Ours {
            claim_uid: "uid".into(),
        },
        instance_type: Some("t".into()),
        zones: vec!["1".into()],
        state,
        failure,
        ..instance()
    }
}

#[test]
fn offerings_are_learnt_from_answers_and_from_instances() {
    let zonal_spec = LaunchSpec {
        instance_type: "t".into(),
        zone: Some("1".into()),
        ..spec()
    };
    let offering = zonal_spec.offering();
    let count = |tracker: &InstanceTracker| {
        tracker
            .refused_offerings()
            .get(&offering)
            .map(|r| (r.count, r.at))
    };
    let mut tracker = InstanceTracker::default();
    let _ = tracker.on_create(at(1), &zonal_spec, Err(error(ErrorClass::Quota)));
    assert_eq!(count(&tracker), Some((1, at(1))));
    // Accepted, and it fails while it is created: the first read that shows it counts.
    let _ = tracker.on_create(at(100), &zonal_spec, Ok(Accepted::default()));
    let failed = || zonal(InstanceState::Failed, Some(error(ErrorClass::Capacity)));
    for second in [300, 310, 320] {
        tracker.on_list(at(second), vec![failed()]);
        assert_eq!(count(&tracker), Some((2, at(300))));
    }
    // An instance that was there before proves nothing, one that was just created does.
    tracker.on_list(at(330), vec![zonal(InstanceState::Succeeded, None)]);
    assert_eq!(count(&tracker), Some((2, at(300))));
    let _ = tracker.on_create(at(400), &zonal_spec, Ok(Accepted::default()));
    let _ = tracker.on_read(at(500), "ws1", Ok(zonal(InstanceState::Succeeded, None)));
    assert_eq!(count(&tracker), None);
    // An older API shows the reason in the operation only.
    let hidden = zonal(InstanceState::Failed, None);
    tracker.on_list(at(600), vec![hidden]);
    let _ = tracker.on_operation("ws1", Ok(OperationStatus::Failed(error(ErrorClass::Capacity))));
    assert_eq!(count(&tracker), Some((1, at(600))));
    // Instances of others are not evidence.
    let mut tracker = InstanceTracker::default();
    let owner = Ownership::Foreign;
    tracker.on_list(at(1), vec![Instance { owner, ..failed() }]);
    assert_eq!(count(&tracker), None);
}

#[test]
fn a_claim_that_is_gone_does_not_ask_for_the_others() {
    let mut tracker = InstanceTracker::default();
    view(&mut tracker);
    let _ = tracker.on_create(at(1), &spec(), Err(error(ErrorClass::Quota)));
    let _ = tracker.on_create(at(90), &spec(), Ok(Accepted::default()));
    let asking = |tracker: &InstanceTracker| {
        tracker
            .refused_offerings()
            .get(&spec().offering())
            .unwrap()
            .probe
            .clone()
    };
    assert_eq!(asking(&tracker), Some(("ws1".to_owned(), at(90))));
    tracker.forget("ws1");
    assert_eq!(asking(&tracker), None);
}
