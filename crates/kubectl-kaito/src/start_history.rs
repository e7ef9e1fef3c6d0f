//! Starts that a cluster measured: `status.coldStart` of its Workspaces.

use anyhow::Context as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::Workspace;
use kube::Api;
use kube::api::ListParams;
use preset_catalog::forecast::{StartHistory, StartSample};

use crate::args::ClusterArgs;
use crate::cluster::{in_time, refusal};

/// Reads the starts of all Workspaces, or of those in one namespace: the named one, and the kubeconfig's for users who may read
/// no others.
///
/// # Errors
/// Fails without a kubeconfig, or if Workspaces cannot be listed.
pub(crate) async fn read(cluster: &ClusterArgs) -> anyhow::Result<StartHistory> {
    let access = cluster.connect().await?;
    let params = ListParams::default();
    let own: Api<Workspace> = Api::namespaced(access.client.clone(), &access.namespace);
    let found = if cluster.namespace.is_some() {
        in_time(own.list(&params)).await
    } else {
        let all: Api<Workspace> = Api::all(access.client);
        match in_time(all.list(&params)).await {
            Err(error) if refusal(&error) == Some(403) => in_time(own.list(&params)).await,
            found => found,
        }
    };
    let workspaces = found.context("failed to list Workspaces")?;
    Ok(of(&workspaces.items))
}

fn of(workspaces: &[Workspace]) -> StartHistory {
    StartHistory {
        samples: workspaces.iter().filter_map(sample).collect(),
    }
}

fn sample(workspace: &Workspace) -> Option<StartSample> {
    let status = workspace.status.as_ref()?;
    let start = status.cold_start.as_ref()?;
    let download = seconds(&start.scheduled, &start.downloaded);
    let bytes = start.weights_bytes.and_then(|bytes| u64::try_from(bytes).ok());
    let before_image = start.downloaded.as_ref().or(start.scheduled.as_ref());
    Some(StartSample {
        preset: status.model.clone().unwrap_or_default(),
        instance_type: status.instance_type.clone().unwrap_or_default(),
        node_seconds: seconds(&start.claimed, &start.initialized),
        download: bytes.zip(download),
        image_seconds: seconds(&before_image.cloned(), &start.started),
        load_seconds: seconds(&start.started, &start.ready),
    })
}

fn seconds(from: &Option<Time>, to: &Option<Time>) -> Option<u64> {
    let (from, to) = (from.as_ref()?, to.as_ref()?);
    u64::try_from(to.0.duration_since(from.0).as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_is_the_time_between_steps() {
        let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z");
        let workspace = |start: serde_json::Value| -> Workspace {
            serde_json::from_value(json!({
                "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "metadata": {"name": "a"},
                "status": {"model": "phi-4", "instanceType": "A", "coldStart": start},
            }))
            .unwrap()
        };
        let whole = workspace(json!({
            "claimed": at(1), "launched": at(3), "initialized": at(8), "scheduled": at(8), "downloaded": at(10),
            "weightsBytes": 6_000, "started": at(13), "ready": at(15),
        }));
        let begun = workspace(json!({"claimed": at(1)}));
        let history = of(&[whole, begun]);
        assert_eq!(
            history.samples,
            [
                StartSample {
                    preset: "phi-4".into(),
                    instance_type: "A".into(),
                    node_seconds: Some(420),
                    download: Some((6_000, 120)),
                    image_seconds: Some(180),
                    load_seconds: Some(120),
                },
                StartSample {
                    preset: "phi-4".into(),
                    instance_type: "A".into(),
                    ..StartSample::default()
                },
            ]
        );
    }
}
