//! The end of an installation: nodes of the user's own serve, then the operator goes and leaves nothing.
//!
//! It runs after all others, which the names of the tests arrange.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use arm_server::control::ControlClient;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kaito_api::Workspace;
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, ResourceExt as _};
use local_cluster::NodeOptions;
use testkit::NAMESPACE;

use installation::{Installation, LIMIT};

use crate::{serving, shared};

/// Objects that preset-registry publishes. Helm does not know them; they go with the namespace.
const PUBLISHED: [&str; 2] = ["ConfigMap kaito-catalog", "ConfigMap kaito-preset-registry-ca"];

/// A node that no cloud knows.
const OWN_NODE: &str = "own-1";

#[tokio::test]
async fn own_nodes_serve_and_an_uninstalled_operator_leaves_nothing() -> Result<()> {
    let Some((system, mut uninstalled)) = shared::alone().await? else {
        return Ok(());
    };
    serve_from_own_nodes(system).await?;

    // The doctor runs in the cluster, and finds an operator that works and no node that costs without use. Nodes of this
    // cluster have a device plugin of their own, without a DaemonSet.
    system
        .helm_run(&["test", "kaito", "--namespace", NAMESPACE, "--logs"])
        .await?;

    // The documented order: Workspaces, programs, definitions, namespace.
    let client = system.client().await?;
    let workspaces: Api<Workspace> = Api::all(client.clone());
    let left = workspaces.list(&ListParams::default()).await?.items.len();
    ensure!(left == 0, "{left} Workspaces of other tests are left");
    let pools = ControlClient::new(&system.arm_url)?.pools().await?;
    ensure!(pools.is_empty(), "agent pools are left: {pools:?}");
    system
        .helm_run(&["uninstall", "kaito", "--namespace", NAMESPACE, "--wait"])
        .await?;
    *uninstalled = true;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in [
        "workspaces.kaito.sh",
        "kaitonodeclasses.kaito.sh",
        "machines.karpenter.sh",
        "nodeclaims.karpenter.sh",
    ] {
        definitions.delete(name, &DeleteParams::default()).await?;
    }
    await_left(system, &PUBLISHED).await?;
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    await_left(system, &[]).await
}

async fn await_left(system: &Installation, expected: &[&str]) -> Result<()> {
    system
        .env
        .eventually("nothing else of ours to be left", LIMIT, async || {
            let left = ours(system).await?;
            ensure!(left == expected, "left: {left:#?}");
            Ok(())
        })
        .await
}

/// A Workspace selects a node by its label; the node stays when the Workspace goes.
async fn serve_from_own_nodes(system: &Installation) -> Result<()> {
    system
        .helm(&["upgrade", "kaito"], &["--set", "nodeProvisioner=byo"])
        .await?;
    system.host.boot(&NodeOptions {
        name: OWN_NODE.to_owned(),
        labels: [("apps".to_owned(), "own".to_owned())].into(),
        ..NodeOptions::default()
    })?;
    let namespace = system.namespace().await?;
    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, &namespace);
    let mut own = serving::workspace("own")?;
    own.spec.resource.get_or_insert_default().instance_type = String::new();
    workspaces.create(&PostParams::default(), &own).await?;
    system
        .condition(&namespace, "own", "WorkspaceReady", "True")
        .await?;
    let address = system.address(&namespace, "own").await?;
    serving::ensure_answers(system, &namespace, &address).await?;
    system.delete(&namespace, "own").await?;
    let nodes: Api<Node> = Api::all(system.client().await?);
    let node = nodes.get(OWN_NODE).await?;
    let marks = node.labels().keys().filter(|key| key.contains("kaito.sh"));
    let marks: Vec<_> = marks.collect();
    ensure!(marks.is_empty(), "the node keeps labels of ours: {marks:?}");
    Ok(())
}

/// Everything of the cluster that is named or labeled as ours, or lies in our namespace, but for Kubernetes' own.
async fn ours(system: &Installation) -> Result<Vec<String>> {
    let client = system.client().await?;
    let discovery = Discovery::new(client.clone()).run().await?;
    let mut found = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST) || resource.kind == "Event" {
                continue;
            }
            let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let list = objects.list(&ListParams::default()).await?;
            found.extend(
                list.iter()
                    .filter(|object| is_ours(object))
                    .map(|object| format!("{} {}", resource.kind, object.name_any())),
            );
        }
    }
    Ok(found)
}

fn is_ours(object: &DynamicObject) -> bool {
    let name = object.name_any();
    // The namespace is the user's, and Kubernetes puts these into each.
    let kubernetes = name == NAMESPACE || name == "default" || name == "kube-root-ca.crt";
    let labeled = |labels: &BTreeMap<String, String>| {
        labels
            .iter()
            .any(|(key, value)| key.contains("kaito.sh") || key.contains("karpenter.sh") || value == "kaito")
    };
    let in_namespace = object.namespace().as_deref() == Some(NAMESPACE);
    !kubernetes && (in_namespace || name.contains("kaito") || labeled(object.labels()))
}
