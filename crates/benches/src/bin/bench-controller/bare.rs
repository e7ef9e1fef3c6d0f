//! The same objects, written by nothing but server-side apply: what the control plane alone allows.
//!
//! It writes copies of the controllers' objects, under other names and owners, so that only Kubernetes reconciles them.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, Service, ServiceSpec};
use kaito_api::{Machine, Workspace};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::times::BareTimes;
use crate::watch;
use crate::workspace::workspace;

/// Requests in flight of the benchmark's own writers, equal to the controllers' concurrency.
pub(crate) const CONCURRENCY: usize = 16;

/// The namespace of the copies.
const NAMESPACE: &str = "bare";

/// Applies `count` Workspaces and a claim for each while no controller runs. Then it applies copies of as many Machines, and of the
/// Nodes, Services and Deployments that go with them.
///
/// # Errors
/// When something cannot be read or is refused, or the copies are not available within `limit`.
pub(crate) async fn write(client: &Client, count: usize, limit: Duration) -> Result<BareTimes> {
    let namespace = Namespace {
        metadata: named(NAMESPACE),
        ..Namespace::default()
    };
    apply(&Api::all(client.clone()), vec![namespace]).await?;
    let machines = copies(&Api::<Machine>::all(client.clone()), count, machine).await?;
    let workspaces_and_claims = workspaces(client, &machines).await?;
    let nodes = copies(&Api::<Node>::all(client.clone()), count, node).await?;
    let services = copies(&Api::default_namespaced(client.clone()), count, service).await?;
    let deployments = copies(&Api::default_namespaced(client.clone()), count, deployment).await?;
    let started = Instant::now();
    apply(&Api::all(client.clone()), machines).await?;
    let claims = started.elapsed().as_secs_f64();
    let write = async {
        let nodes_api: Api<Node> = Api::all(client.clone());
        create(&nodes_api, nodes).await?;
        apply(&there(client), services).await?;
        apply(&there(client), deployments).await
    };
    let deployed = there(client);
    let (_, ready) = tokio::try_join!(write, watch::available(&deployed, count, started, limit))?;
    Ok(BareTimes {
        claims,
        workspaces_and_claims,
        ready,
    })
}

/// Writes what the controller writes until the claims exist, and the Workspaces that it writes them for.
async fn workspaces(client: &Client, machines: &[Machine]) -> Result<f64> {
    let api: Api<Workspace> = Api::default_namespaced(client.clone());
    let claims: Api<Machine> = Api::all(client.clone());
    let started = Instant::now();
    each(machines.to_vec(), async |machine| {
        let claim = Machine {
            metadata: ObjectMeta {
                name: Some(format!("of-{}", machine.name_any())),
                ..machine.metadata
            },
            ..machine
        };
        let (name, params) = (claim.name_any(), PatchParams::apply("bench"));
        api.patch(&name, &params, &Patch::Apply(workspace(&name))).await?;
        let finalizer = json!({"metadata": {"finalizers": ["bench.kaito.sh/bare"]}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(finalizer))
            .await?;
        claims
            .patch(&name, &params, &Patch::Apply(&claim))
            .await
            .map(drop)
    })
    .await?;
    Ok(started.elapsed().as_secs_f64())
}

fn there<K: Resource<Scope = NamespaceResourceScope>>(client: &Client) -> Api<K>
where
    K::DynamicType: Default,
{
    Api::namespaced(client.clone(), NAMESPACE)
}

async fn copies<K>(api: &Api<K>, count: usize, copy: fn(K) -> K) -> Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let all = api.list(&ListParams::default()).await?.items;
    // Services that are not ours, such as the API server's own, have no owner.
    let ours = all
        .into_iter()
        .filter(|object| !object.owner_references().is_empty() || K::kind(&()) == "Machine");
    let copies: Vec<K> = ours.take(count).map(copy).collect();
    ensure!(
        copies.len() == count,
        "only {} of {} to copy",
        copies.len(),
        K::plural(&())
    );
    Ok(copies)
}

async fn apply<K>(api: &Api<K>, objects: Vec<K>) -> Result<()>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    each(objects, async |object| {
        let params = PatchParams::apply("bench");
        api.patch(&object.name_any(), &params, &Patch::Apply(&object))
            .await
            .map(drop)
    })
    .await
}

/// A Node is registered with its status, which an apply would leave out.
async fn create(api: &Api<Node>, nodes: Vec<Node>) -> Result<()> {
    each(nodes, async |node| {
        api.create(&Default::default(), &node).await.map(drop)
    })
    .await
}

async fn each<K>(objects: Vec<K>, write: impl AsyncFn(K) -> kube::Result<()>) -> Result<()> {
    futures::stream::iter(objects)
        .map(|object| write(object))
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>()
        .await
        .context("failed to create a copy")
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn machine(machine: Machine) -> Machine {
    let mut copy = Machine::new(&format!("bare-{}", machine.name_any()), machine.spec);
    let labels = machine.metadata.labels.into_iter().flatten();
    // Without the labels that a provisioner goes by.
    copy.metadata.labels = Some(
        labels
            .map(|(key, value)| (key.replace("kaito.sh/", "bench.kaito.sh/"), value))
            .collect(),
    );
    copy.metadata.annotations = machine.metadata.annotations;
    copy
}

fn node(node: Node) -> Node {
    let name = format!("bare-{}", node.name_any());
    let labels = node.metadata.labels.into_iter().flatten();
    // The workload is placed by the Workspace's own labels; those by which a provisioner finds its Nodes go.
    let labels = labels.filter(|(key, _)| !key.contains("agentpool") && !key.starts_with("karpenter.sh/"));
    let mut status = node.status.unwrap_or_default();
    status.phase = None;
    Node {
        metadata: ObjectMeta {
            labels: Some(labels.collect()),
            annotations: node.metadata.annotations,
            ..named(&name)
        },
        spec: None,
        status: Some(status),
    }
}

fn service(service: Service) -> Service {
    let metadata = named(&service.name_any());
    Service {
        metadata,
        spec: service.spec.map(|spec| ServiceSpec {
            cluster_ip: None,
            cluster_ips: None,
            ..spec
        }),
        status: None,
    }
}

fn deployment(deployment: Deployment) -> Deployment {
    Deployment {
        metadata: named(&deployment.name_any()),
        spec: deployment.spec,
        status: None,
    }
}
