//! The one release of a cluster. Two would both lead, since leases are in their namespaces, and write the same objects under
//! one field manager.
//!
//! The chart ships a ClusterRole of a fixed name that names the namespace of its release. Helm refuses to install it twice,
//! and a program that finds another namespace there does not lead.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Api, Client};
use serve::Gate;
use tokio_util::sync::CancellationToken;

use crate::error::Chain;

/// Name of the ClusterRole.
const MARKER: &str = "kaito-release";
/// Annotation with the namespace of the release.
const NAMESPACE: &str = "kaito.sh/release-namespace";
/// Pause between checks, also while this program leads: the marker has no watch.
const RETRY: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until no other release owns the cluster, or the token is canceled. The gate and the log name the other one.
pub(crate) async fn wait(client: &Client, namespace: &str, gate: &Gate, token: &CancellationToken) {
    let mut reported = String::new();
    while let Err(reason) = check(client, namespace).await {
        if reason != reported {
            tracing::error!(reason, "waiting until this is the only release");
            gate.set(false, reason.clone());
            reported = reason;
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = token.cancelled() => return,
        }
    }
    gate.set(true, "");
}

/// Waits until another release owns the cluster, and returns the reason. A failed check changes nothing.
pub(crate) async fn superseded(client: &Client, namespace: &str) -> anyhow::Error {
    loop {
        tokio::time::sleep(RETRY).await;
        if let Ok(Some(other)) = owner(client).await
            && other != namespace
        {
            return anyhow::anyhow!(conflict(&other, namespace));
        }
    }
}

async fn check(client: &Client, namespace: &str) -> Result<(), String> {
    match owner(client).await? {
        Some(other) if other != namespace => Err(conflict(&other, namespace)),
        _ => Ok(()),
    }
}

fn conflict(other: &str, namespace: &str) -> String {
    format!(
        "the release in namespace {other} owns this cluster, and this one in {namespace} would fight with it: uninstall \
         one of them, or run one cluster for each"
    )
}

/// Returns the namespace of the release that owns the cluster; `None` without the chart's marker.
async fn owner(client: &Client) -> Result<Option<String>, String> {
    let api: Api<ClusterRole> = Api::all(client.clone());
    match tokio::time::timeout(TIMEOUT, api.get_opt(MARKER)).await {
        Ok(Ok(role)) => Ok(role.and_then(|role| role.metadata.annotations?.remove(NAMESPACE))),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "the role of this program must allow get of clusterroles/{MARKER}"
        )),
        Ok(Err(error)) => Err(format!("failed to get clusterrole {MARKER}: {}", Chain(&error))),
        Err(_) => Err(format!("failed to get clusterrole {MARKER}: no response in time")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serve::Readiness;

    use super::*;
    use crate::testing::{refusal, serve};

    fn marker(namespace: &str) -> (u16, serde_json::Value) {
        let metadata = json!({ "name": MARKER, "annotations": { NAMESPACE: namespace } });
        (200, json!({ "metadata": metadata, "rules": [] }))
    }

    #[tokio::test(start_paused = true)]
    async fn another_release_is_waited_for_with_a_reason() {
        let mut answers = vec![marker("a"), refusal(403), marker("b")].into_iter().rev();
        let (client, _log) = serve(move |_| answers.next());
        let readiness = Readiness::new();
        let (gate, token) = (readiness.gate("release"), CancellationToken::new());
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { wait(&client, "a", &gate, &token).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let reason = readiness.closed().remove(0).1;
        assert!(reason.contains("namespace b owns this cluster"), "{reason}");
        tokio::time::sleep(RETRY).await;
        let reason = readiness.closed().remove(0).1;
        assert!(reason.contains("must allow get of clusterroles"), "{reason}");
        waiting.await.unwrap();
        assert!(readiness.closed().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_notices_a_later_release_and_no_failure() {
        let mut answers = vec![marker("b"), refusal(500), marker("a"), refusal(404)]
            .into_iter()
            .rev();
        let (client, _log) = serve(move |_| answers.next());
        let began = tokio::time::Instant::now();
        let error = superseded(&client, "a").await.to_string();
        assert!(error.contains("namespace b owns this cluster"), "{error}");
        assert_eq!(began.elapsed(), RETRY * 4);
    }
}
