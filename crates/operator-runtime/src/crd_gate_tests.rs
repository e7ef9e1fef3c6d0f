//! The gate waits for what may come and says what is missing.

use std::collections::VecDeque;

use serde_json::{Value, json};
use telemetry::Readiness;
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
    assert!(readiness.shut().is_empty());
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
        readiness.shut()[0]
            .1
            .contains("customresourcedefinitions/machines.karpenter.sh")
    );
    waiting.await.unwrap();
    assert!(began.elapsed() >= DENIED_RETRY);
}
