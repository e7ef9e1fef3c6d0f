//! Tests of reasons and of condition lists.

use super::*;

#[test]
fn reasons_read_back_and_are_one_word() {
    for reason in ClaimReason::ALL {
        assert_eq!(ClaimReason::parse(reason.as_str()), Some(*reason));
    }
    for reason in WorkspaceReason::ALL {
        assert_eq!(WorkspaceReason::parse(reason.as_str()), Some(*reason));
        assert!(reason.as_str().chars().all(|c| c.is_ascii_alphanumeric()));
    }
}

#[test]
fn transition_time_moves_only_with_the_status() {
    let early = Timestamp::from_second(1_000).unwrap();
    let late = Timestamp::from_second(2_000).unwrap();
    let not_ready = NewCondition {
        type_: WorkspaceConditionType::ResourceReady.as_str(),
        status: Status::False,
        reason: WorkspaceReason::NodesNotReady.as_str(),
        message: "a",
    };
    let first = not_ready.of_workspace(&[], 1, early);
    let changed = NewCondition {
        message: "b",
        ..not_ready
    };
    let same = changed.of_workspace(std::slice::from_ref(&first), 2, late);
    assert_eq!(same.last_transition_time, Time(early));
    let ready = NewCondition {
        status: Status::True,
        reason: WorkspaceReason::ResourceReady.as_str(),
        message: "",
        ..not_ready
    };
    assert_eq!(
        ready.of_workspace(&[same], 2, late).last_transition_time,
        Time(late)
    );
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let cut = cut(&"ä".repeat(MESSAGE_MAX), MESSAGE_MAX);
    assert!(cut.len() <= MESSAGE_MAX && cut.ends_with("..."));
}
