//! `push` as a sidecar, and `await-push` beside it.

use std::path::Path;

use serde_json::json;
use testkit::image_registry::{Auth, Registry};

use crate::docker_config::{auth_dir, login};
use crate::{Outcome, run};

async fn wait(outcome: &Path, seconds: u32) -> Outcome {
    let outcome = format!("--outcome={}", outcome.display());
    run(&["await-push", &outcome, &format!("--timeout={seconds}")]).await
}

async fn push(from: &Path, outcome: &Path, auth: &Path, reference: &str) -> Outcome {
    let from = format!("--from={}", from.display());
    let outcome = format!("--outcome={}", outcome.display());
    let auth = format!("--auth-dir={}", auth.display());
    run(&["push", "--secret=push", &from, &outcome, &auth, reference]).await
}

#[tokio::test]
async fn a_push_that_failed_is_repeated_alone() {
    let Some(registry) = Registry::start(&Auth::Basic).unwrap() else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let outcome = scratch.path().join("outcome.json");
    let from = tempfile::tempdir().unwrap();
    std::fs::write(from.path().join("adapter_config.json"), "{}").unwrap();
    let host = registry.address().to_string();
    let reference = registry.reference("team/out:1");
    let secret = auth_dir(&host, &json!({"username": "tester", "password": "expired"}));

    let waiting = {
        let outcome = outcome.clone();
        tokio::spawn(async move { wait(&outcome, 120).await })
    };
    let refused = push(from.path(), &outcome, secret.path(), &reference).await;
    let part = "refuses a push to repository team/out with the credentials of Secret push";
    let refused = refused.bad(4, part).termination;
    // The time is over for another one.
    let late = wait(&outcome, 0).await;
    late.bad(4, &format!("the result was not pushed within 0 s: {refused}"));
    assert!(!waiting.is_finished());

    let renewed = auth_dir(&host, &login());
    let pushed = push(from.path(), &outcome, renewed.path(), &reference)
        .await
        .good();
    let waited = waiting.await.unwrap().good();
    assert!(
        waited.said.contains("the push is tried again for 11"),
        "{}",
        waited.said
    );
    assert_eq!(waited.termination, pushed.termination);
    // A sidecar that is started once more has nothing to do, even if the registry is gone.
    drop(registry);
    let again = push(from.path(), &outcome, renewed.path(), &reference)
        .await
        .good();
    assert_eq!(again.termination, pushed.termination);
}

#[tokio::test]
async fn a_result_that_cannot_be_pushed_is_not_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let outcome = scratch.path().join("outcome.json");
    let empty = tempfile::tempdir().unwrap();
    let secret = auth_dir("127.0.0.1:1", &login());
    push(empty.path(), &outcome, secret.path(), "127.0.0.1:1/a:v1")
        .await
        .bad(9, "holds no files");
    wait(&outcome, 600)
        .await
        .bad(9, "the result was not pushed: nothing is pushed");
    std::fs::write(&outcome, "half").unwrap();
    wait(&outcome, 600).await.bad(1, "failed to parse");
}
