//! Weights in a volume on the disk of a node: they stay when the pod ends, and are replaced when the node is gone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use installation::{Installation, LIMIT};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kaito_api::Workspace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::stored_weights::start_twice;
use crate::{serving, shared};

const ANNOTATION: &str = "kaito.sh/weights-storage-class";
const CLASS: &str = "disk-of-the-node";
const NAME: &str = "kept";
const PAUSE: Duration = Duration::from_millis(500);

/// Provides volumes on the disks of nodes, as a provisioner for local disks does. It ends with this value.
struct Provisioner(JoinHandle<()>);

impl Provisioner {
    async fn start(system: &'static Installation, namespace: &str) -> Result<Self> {
        let client = system.client().await?;
        let class = json!({
            "metadata": {"name": CLASS}, "provisioner": "test.kaito.sh/disk", "volumeBindingMode": "WaitForFirstConsumer",
        });
        let classes: Api<StorageClass> = Api::all(client.clone());
        classes
            .create(&PostParams::default(), &serde_json::from_value(class)?)
            .await?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
        let volumes: Api<PersistentVolume> = Api::all(client);
        Ok(Self(tokio::spawn(async move {
            loop {
                let found = claims.list(&ListParams::default()).await;
                for claim in found.map(|found| found.items).unwrap_or_default() {
                    let node = claim
                        .annotations()
                        .get("volume.kubernetes.io/selected-node")
                        .cloned();
                    let directory = node.as_deref().and_then(|node| system.host.directory(node));
                    let (Some(node), Some(directory)) = (node, directory) else {
                        continue;
                    };
                    let name = format!("disk-{}", claim.uid().unwrap_or_default());
                    let is_made = std::fs::create_dir_all(directory.join("var-lib").join(&name));
                    let volume = is_made.ok().and_then(|()| volume(&name, &node, &claim));
                    if let Some(volume) = volume {
                        // It may be there already.
                        let _ = volumes.create(&PostParams::default(), &volume).await;
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        })))
    }
}

impl Drop for Provisioner {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn volume(name: &str, node: &str, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let spec = claim.spec.as_ref()?;
    let here = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]);
    let volume = json!({
        "metadata": {"name": name},
        "spec": {
            "capacity": spec.resources.as_ref()?.requests, "accessModes": spec.access_modes,
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": spec.storage_class_name,
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(),
                "name": claim.name_any(), "uid": claim.uid()},
            "local": {"path": format!("/var/lib/{name}")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}},
        },
    });
    serde_json::from_value(volume).ok()
}

#[tokio::test]
async fn a_volume_keeps_the_weights_for_the_next_pod_and_is_replaced_with_its_node() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    let client = system.client().await?;
    let workspaces: Api<Workspace> = Api::namespaced(client.clone(), &namespace);
    let mut workspace = serving::workspace(NAME)?;
    workspace.metadata.annotations = Some([(ANNOTATION.to_owned(), "absent".to_owned())].into());
    workspaces.create(&PostParams::default(), &workspace).await?;
    let found = system
        .reason(&namespace, NAME, "InferenceReady", "StorageClassNotFound")
        .await?;
    ensure!(found.contains("StorageClass absent"), "{found}");

    let _provisioner = Provisioner::start(system.installation(), &namespace).await?;
    let change = json!({"metadata": {"annotations": {ANNOTATION: CLASS}}});
    workspaces
        .patch(NAME, &PatchParams::default(), &Patch::Merge(&change))
        .await?;
    system
        .condition(&namespace, NAME, "WorkspaceReady", "True")
        .await?;
    let address = system.address(&namespace, NAME).await?;
    serving::ensure_answers(&system, &namespace, &address).await?;

    let starts = start_twice(&system, &namespace, NAME).await?;
    said(&format!(
        "first and second start: {:?} and {:?}",
        starts.first, starts.second
    ));
    ensure!(starts.first.1.to_hub > 0, "{:?}", starts.first);
    ensure!(starts.second.1.to_hub == 0, "{:?}", starts.second);
    serving::ensure_answers(&system, &namespace, &address).await?;

    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
    let before = sets.get(NAME).await?.uid();
    let lost = system.nodes(&namespace, NAME).await?;
    let lost = lost.first().context("there is no Node")?;
    system.host.kill(lost)?;
    system
        .condition(&namespace, NAME, "ResourceReady", "False")
        .await?;
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.delete(lost, &DeleteParams::default()).await?;
    system
        .env
        .eventually("another StatefulSet", LIMIT, async || {
            let uid = sets.get(NAME).await?.uid();
            ensure!(uid != before, "the StatefulSet is still there");
            Ok(())
        })
        .await?;
    system
        .condition(&namespace, NAME, "WorkspaceReady", "True")
        .await?;
    serving::ensure_answers(&system, &namespace, &address).await?;

    system.delete(&namespace, NAME).await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, &namespace);
    system
        .env
        .eventually("the claims to go", LIMIT, async || {
            let left = claims.list(&ListParams::default()).await?.items.len();
            ensure!(left == 0, "{left} claims are left");
            Ok(())
        })
        .await
}

#[allow(clippy::print_stderr, reason = "the times are a result of the test")]
fn said(line: &str) {
    eprintln!("{line}");
}
