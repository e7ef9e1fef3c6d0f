//! The push of a tuning's result: refused before the tuning, or repeated after it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::case::{Case, condition, state};
use crate::objects;
use crate::tuning::{says, step, with_status};

fn ended(code: i32, message: &str) -> Value {
    json!({"terminated": {"exitCode": code, "message": message, "finishedAt": "2026-01-05T10:00:00Z"}})
}

fn job_failed() -> Value {
    json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy",
        "message": "Container push-check for pod ns/w-abc failed with exit code 4 matching FailJob rule at index 1"}]})
}

#[test]
fn a_refused_push_has_its_own_reason() {
    let said = "registry r.io refuses a push to repository out with the credentials of Secret push (401 Unauthorized): \
                give their account the right to push there, or put others into Secret push";
    let pod = json!({"phase": "Failed", "initContainerStatuses": [step("push-check", ended(4, said))]});
    assert_eq!(
        says(job_failed(), pod),
        format!(
            "False/ImagePushRefused: the tuning Job failed: container push-check of pod w-abc: {said}. Nothing was trained. \
             Do what the message says, then delete the Workspace and create it again."
        )
    );
    let said = "failed to begin an upload to r.io/out:1: connection refused (tried 14 times)";
    let pod = json!({"phase": "Failed", "initContainerStatuses": [step("push-check", ended(6, said))]});
    let shown = says(job_failed(), pod);
    assert!(
        shown.starts_with("False/ImageRegistryUnreachable: ") && shown.contains(said),
        "{shown}"
    );
    // Another step failed after a check that an earlier pod did not pass.
    let mut later = ended(1, "error: no data");
    later["terminated"]["finishedAt"] = json!("2026-01-05T10:05:00Z");
    let steps = [
        step("push-check", ended(6, "unreachable")),
        step("data-downloader", later),
    ];
    let shown = says(
        job_failed(),
        json!({"phase": "Failed", "initContainerStatuses": steps}),
    );
    assert!(shown.contains("container data-downloader"), "{shown}");
}

/// A trained result whose push failed with this message. The container that waits for it is in this state.
fn pushing(error: &str, waits: Value) -> Case {
    let mut case = with_status(json!({"active": 1}));
    let mut pusher = step(
        "pusher",
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}),
    );
    pusher["lastState"] = ended(6, error);
    pusher["restartCount"] = json!(3);
    let pod = json!({"phase": "Running", "initContainerStatuses": [step("w", ended(0, "")), pusher],
        "containerStatuses": [step("push-result", waits)]});
    case.observed.pods = vec![Arc::new(objects::job_pod("w-abc", pod))];
    case
}

#[test]
fn a_push_that_is_repeated_says_why_and_until_when() {
    let error = "failed to begin an upload to example.com/adapter:1: connection refused (tried 6 times)";
    let running = || json!({"running": {"startedAt": "2026-01-05T10:00:00Z"}});
    let plan = pushing(error, running()).plan();
    assert_eq!(state(&plan), "Running");
    let expected = format!(
        "the result is trained, and its push to example.com/adapter:1 is repeated until 2026-01-06T10:00:00Z: {error}. Repair what \
         the message names; the push is repeated by itself, without another tuning."
    );
    assert_eq!(
        condition(&plan, "JobStarted"),
        format!("False/ImagePushRetried: {expected}")
    );
    assert_eq!(
        condition(&plan, "WorkspaceSucceeded"),
        format!("False/workspacePending: ImagePushRetried: {expected}")
    );
    assert_eq!(plan.status.as_ref().unwrap()["reason"], "ImagePushRetried");
    // Before the container that gives up has started, nothing says when.
    let early = pushing(error, json!({"waiting": {"reason": "PodInitializing"}})).plan();
    let shown = condition(&early, "JobStarted");
    assert!(
        shown.contains("adapter:1 is repeated: failed to begin"),
        "{shown}"
    );
}

#[test]
fn another_attempt_with_other_numbers_is_not_written() {
    let running = || json!({"running": {"startedAt": "2026-01-05T10:00:00Z"}});
    let first = pushing("error: upload 17 was lost", running());
    let stored = first.stored();
    let mut next = stored;
    next.observed.pods = pushing("error: upload 18 was lost", running()).observed.pods;
    let plan = next.plan();
    assert!(plan.status.is_none(), "{:?}", plan.status);
}

#[test]
fn a_pod_that_ended_says_nothing_about_the_next_one() {
    let mut case = pushing("connection refused", ended(143, "stopped by SIGTERM"));
    let mut old = case.observed.pods[0].as_ref().clone();
    old.status.as_mut().unwrap().phase = Some("Failed".to_owned());
    let trains = json!({"phase": "Pending", "initContainerStatuses": [
        step("w", json!({"running": {"startedAt": "2026-01-05T11:00:00Z"}}))]});
    case.observed.pods = vec![Arc::new(old), Arc::new(objects::job_pod("w-def", trains))];
    let shown = condition(&case.plan(), "JobStarted");
    assert!(shown.contains("runs container w"), "{shown}");
}

#[test]
fn the_time_of_the_push_is_a_choice() {
    let seconds = |value: &str| {
        let case = Case::tuning().annotated("kaito.sh/push-retry-seconds", value);
        let plan = case.with_nodes(1, 1).plan();
        let job = plan.writes.iter().find_map(|write| match write {
            plan::Write::Apply(manifest) if manifest.kind() == plan::Kind::Job => Some(manifest.to_value()),
            _ => None,
        });
        match job {
            Some(job) => {
                let annotated = job["metadata"]["annotations"]["kaito.sh/push-retry-seconds"].clone();
                let container = &job["spec"]["template"]["spec"]["containers"][0];
                let flag = format!("--timeout={}", annotated.as_str().unwrap());
                assert!(
                    container["args"].as_array().unwrap().contains(&json!(flag)),
                    "{container}"
                );
                annotated.as_str().unwrap().to_owned()
            }
            None => condition(&plan, "WorkspaceSucceeded"),
        }
    };
    assert_eq!(seconds(""), "86400");
    assert_eq!(seconds("600"), "600");
    for wrong in ["59", "600000", "1h", "-1"] {
        let said = seconds(wrong);
        assert!(
            said.contains("must be a number of seconds from 60 to 599999"),
            "{said}"
        );
    }
}
