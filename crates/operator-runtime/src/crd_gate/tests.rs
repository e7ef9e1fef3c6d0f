//! The gate waits for resources and names the missing one.

use std::collections::VecDeque;

use serde_json::{Value, json};
use serve::Readiness;
use tokio::time::Instant;

use super::*;
use crate::testing::{lines, refusal, serve};

fn crd(established: &str) -> (u16, Value) {
    let body = json!({
        "metadata": { "name": "machines.karpenter.sh" },
        "spec": {
            "group": "karpenter.sh", "scope": "Cluster", "versions": [],
            "names": { "kind": "Machine", "plural": "machines" },
        },
        "status": { "conditions": [{ "type": "Established", "status": established }] },
    });
    (200, body)
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_everything_is_established() {
    let mut answers = VecDeque::from([refusal(404), refusal(500), crd("False"), crd("True")]);
    let (client, log) = serve(move |_| answers.pop_front());
    let readiness = Readiness::new();
    let gate = readiness.gate("crds");
    wait(
        &client,
        &["machines.karpenter.sh"],
        &gate,
        &CancellationToken::new(),
    )
    .await;
    assert_eq!(lines(&log).len(), 4);
    assert!(readiness.closed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_role_is_named_and_asked_for_slowly() {
    let mut answers = VecDeque::from([refusal(403), crd("True")]);
    let (client, _log) = serve(move |_| answers.pop_front());
    let readiness = Readiness::new();
    let gate = readiness.gate("crds");
    let began = Instant::now();
    let waiting = tokio::spawn(async move {
        wait(
            &client,
            &["machines.karpenter.sh"],
            &gate,
            &CancellationToken::new(),
        )
        .await;
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        readiness.closed()[0]
            .1
            .contains("customresourcedefinitions/machines.karpenter.sh")
    );
    waiting.await.unwrap();
    assert!(began.elapsed() >= DENIED_RETRY);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_told_from_what_cannot_be_told() {
    // The first is asked for until the answer is one; the second is not there.
    let mut answers = VecDeque::from([
        refusal(500),
        refusal(403),
        crd("False"),
        crd("True"),
        refusal(404),
    ]);
    let (client, log) = serve(move |_| answers.pop_front());
    let readiness = Readiness::new();
    let gate = readiness.gate("crds");
    let names = ["machines.karpenter.sh", "nodeclaims.karpenter.sh"];
    let found = present(&client, &names, &gate, &CancellationToken::new()).await;
    assert_eq!(found, ["machines.karpenter.sh"]);
    assert_eq!(lines(&log).len(), 5);
    assert!(readiness.closed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_of_several_is_enough_and_none_is_waited_for() {
    let mut answers = VecDeque::from([refusal(404), refusal(404), refusal(404), crd("True")]);
    let (client, log) = serve(move |_| answers.pop_front());
    let readiness = Readiness::new();
    let gate = readiness.gate("crds");
    let names = ["nodeclaims.karpenter.sh", "machines.karpenter.sh"];
    let found = any(&client, &names, &gate, &CancellationToken::new()).await;
    assert_eq!(found, ["machines.karpenter.sh"]);
    assert_eq!(lines(&log).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_is_noticed() {
    let mut answers = VecDeque::from([refusal(404), refusal(500), crd("True")]);
    let (client, log) = serve(move |_| answers.pop_front());
    appears(&client, "machines.karpenter.sh", &CancellationToken::new()).await;
    assert_eq!(lines(&log).len(), 3);
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let (client, _log) = serve(|_| Some(refusal(404)));
    appears(&client, "machines.karpenter.sh", &cancelled).await;
}
