//! The objects of one Workspace.

use std::collections::BTreeMap;

use futures::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kaito_api::{Claim, Workspace, labels};
use kube::Api;
use kube::api::{ListParams, LogParams};

use crate::cluster::{self, ClusterAccess, in_time};
use crate::pod_step;

/// Container that downloads the weights.
pub(super) const WEIGHTS: &str = "weights";

/// One Workspace and its objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkspaceFacts {
    pub(crate) workspace: Workspace,
    /// `None` if the user may not list them.
    pub(crate) claims: Option<Vec<Claim>>,
    pub(crate) pods: Vec<Pod>,
    /// Last line of a download, by pod.
    pub(crate) downloads: BTreeMap<String, String>,
    /// Reasons for which objects are left out.
    pub(crate) notes: Vec<String>,
}

impl WorkspaceFacts {
    /// Reads them once.
    ///
    /// # Errors
    /// Fails if the Workspace cannot be read.
    pub(super) async fn read(access: &ClusterAccess, name: &str) -> anyhow::Result<Self> {
        let namespace = &access.namespace;
        let workspace = access.workspace(name).await?;
        let mut notes = Vec::new();
        let params = ListParams::default().labels(&claims_of(namespace, name));
        let claims = cluster::claims(&access.client, &params, &mut notes).await?;
        let api: Api<Pod> = Api::namespaced(access.client.clone(), namespace);
        let params = ListParams::default().labels(&of_workspace(name));
        let pods = cluster::list(&api, &params, &mut notes)
            .await?
            .unwrap_or_default();
        let mut downloads = BTreeMap::new();
        for pod in pods.iter().filter(|pod| downloads_weights(pod)) {
            let name = pod.metadata.name.clone().unwrap_or_default();
            if let Some(line) = last_line(&api, &name).await {
                downloads.insert(name, line);
            }
        }
        Ok(Self {
            workspace,
            claims,
            pods,
            downloads,
            notes,
        })
    }
}

/// Selector of the pods of a Workspace.
pub(crate) fn of_workspace(name: &str) -> String {
    format!("{}={name}", labels::WORKSPACE)
}

/// Selector of the claims of a Workspace.
pub(super) fn claims_of(namespace: &str, name: &str) -> String {
    format!(
        "{}={name},{}={namespace}",
        labels::WORKSPACE,
        labels::WORKSPACE_NAMESPACE
    )
}

/// Returns true if the pod downloads its weights now.
pub(super) fn downloads_weights(pod: &Pod) -> bool {
    let step = pod_step::of(pod);
    step.is_running && step.container == WEIGHTS
}

/// Last line of the download's log; `None` if it cannot be read, since it is only shown.
async fn last_line(api: &Api<Pod>, pod: &str) -> Option<String> {
    let params = LogParams {
        container: Some(WEIGHTS.to_owned()),
        tail_lines: Some(1),
        ..LogParams::default()
    };
    let text = in_time(api.logs(pod, &params)).await.ok()?;
    text.lines().last().map(str::to_owned)
}

/// Lines of the download's log as they are written, from the last one on.
pub(super) async fn follow_download(
    api: Api<Pod>,
    pod: String,
    on_line: impl Fn(&str, String),
) -> Option<()> {
    let params = LogParams {
        container: Some(WEIGHTS.to_owned()),
        tail_lines: Some(1),
        follow: true,
        ..LogParams::default()
    };
    let mut lines = api.log_stream(&pod, &params).await.ok()?.lines();
    while let Some(Ok(line)) = lines.next().await {
        on_line(&pod, line);
    }
    Some(())
}
