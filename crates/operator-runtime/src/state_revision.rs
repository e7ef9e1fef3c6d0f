//! Detection of a restored etcd without a lease. The revision of the API server's state then goes back, and watches would wait
//! for ever for versions that no longer come.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The reason for which a program ends, so that it lists everything again.
pub(crate) fn went_back() -> anyhow::Error {
    anyhow::anyhow!(
        "the API server shows an older state than before, as after a restore of etcd; restart to list everything again"
    )
}

/// Waits until the API server shows an older state than before, and returns the reason. A failed look changes nothing.
pub(crate) async fn goes_back(client: &Client) -> anyhow::Error {
    let mut newest = 0;
    loop {
        if let Ok(Ok(Some(revision))) = tokio::time::timeout(TIMEOUT, revision(client)).await {
            if revision < newest {
                return went_back();
            }
            newest = revision;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns the revision of a list. Every program may list Nodes, and one of them is enough.
async fn revision(client: &Client) -> Result<Option<u64>, kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let list = nodes.list_metadata(&ListParams::default().limit(1)).await?;
    Ok(list
        .metadata
        .resource_version
        .and_then(|version| version.parse().ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{refusal, serve};

    #[tokio::test(start_paused = true)]
    async fn an_older_revision_is_noticed_and_failures_are_not() {
        let mut answers = [Some(10), None, Some(12), Some(12), Some(11)].into_iter();
        let (client, log) = serve(move |seen| {
            assert_eq!(
                (seen.path.as_str(), seen.query.as_str()),
                ("/api/v1/nodes", "&limit=1")
            );
            Some(match answers.next().flatten() {
                None => refusal(503),
                Some(revision) => {
                    let metadata = json!({ "resourceVersion": revision.to_string() });
                    (200, json!({ "metadata": metadata, "items": [] }))
                }
            })
        });
        let reason = goes_back(&client).await.to_string();
        assert!(reason.contains("restart to list everything again"), "{reason}");
        assert_eq!(log.lock().unwrap().len(), 5);
    }
}
