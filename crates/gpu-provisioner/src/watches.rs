//! The watches, and the objects that each change enqueues.

use k8s_openapi::api::core::v1::Node;
use kaito_api::ClaimObject;
use kaito_api::labels;
use kaito_api::node_class::{self, KaitoNodeClass};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use nodeclaim_plan::observe::instance_names;
use operator_runtime::{Cache, Caches, Change, Enqueuer, Index, Key, Runtime, Tasks, Watch, crd_gate};
use tokio_util::sync::CancellationToken;

use crate::caches::{CacheSource, node_of_pod, provider_id};
use crate::claims::{ClaimEnqueuers, Claims};
use crate::strip;

/// Caches that the watches fill.
pub(crate) struct Watched {
    /// Caches that a plan for a claim looks at.
    pub(crate) source: CacheSource,
    /// Nodes.
    pub(crate) nodes: Cache<Node>,
    /// All caches except those of claims, whose definitions may be missing.
    pub(crate) caches: Caches,
}

/// Starts all watches.
pub(crate) fn start(
    runtime: &Runtime,
    tasks: &mut Tasks,
    claim_enqueuers: &ClaimEnqueuers,
    node_enqueuer: &Enqueuer,
) -> Watched {
    let all = watcher::Config::default;
    let machines = runtime.watch(all(), strip::machine);
    let node_claims = runtime.watch(all(), strip::node_claim);
    let classes = runtime.watch(all(), strip::node_class);
    let mut nodes = runtime.watch(all(), strip::node);
    let mut pods = runtime.watch(all(), strip::pod);
    let mut attachments = runtime.watch(all(), strip::attachment);
    let source = CacheSource {
        claims: Claims {
            machines: machines.cache(),
            node_claims: node_claims.cache(),
        },
        classes: classes.cache(),
        nodes_by_instance: nodes.index(instance_names),
        nodes_by_provider_id: nodes.index(provider_id),
        pods_by_node: pods.index(node_of_pod),
        attachments_by_node: attachments.index(|a| vec![a.spec.node_name.clone()]),
    };
    let related = Related {
        claims: source.claims.clone(),
        claim_enqueuers: claim_enqueuers.clone(),
        nodes_by_instance: source.nodes_by_instance.clone(),
        node_enqueuer: node_enqueuer.clone(),
        maybe_draining: nodes.index(maybe_draining),
    };
    let watched = Watched {
        nodes: nodes.cache(),
        caches: Caches::new()
            .with(&nodes.cache())
            .with(&pods.cache())
            .with(&attachments.cache()),
        source,
    };
    let watching = watch_classes(runtime.client().clone(), classes, related.clone(), tasks.token());
    tasks.spawn("kaitonodeclasses", watching);
    spawn_claims(runtime.client(), tasks, machines, &related);
    spawn_claims(runtime.client(), tasks, node_claims, &related);
    let token = tasks.token();
    let of_nodes = related.clone();
    let on_node = move |change: &Change<Node>| {
        of_nodes.node_enqueuer.enqueue(change.key.clone());
        of_nodes.enqueue_claims(change.both().flat_map(|node| instance_names(node)));
    };
    tasks.spawn("nodes", nodes.run(token.clone(), on_node));
    let of_pods = related.clone();
    tasks.spawn(
        "pods",
        pods.run(token.clone(), move |change| {
            of_pods.enqueue_drains(change.both().flat_map(|pod| node_of_pod(pod)));
        }),
    );
    tasks.spawn(
        "volumeattachments",
        attachments.run(token, move |change| {
            related.enqueue_drains(change.both().map(|attachment| attachment.spec.node_name.clone()));
        }),
    );
    watched
}

fn spawn_claims<K: ClaimObject + operator_runtime::Watched>(
    client: &Client,
    tasks: &mut Tasks,
    watch: Watch<K>,
    related: &Related,
) {
    let token = tasks.token();
    let watching = watch_claims(client.clone(), watch, related.clone(), token);
    tasks.spawn(K::CLAIM.definition(), watching);
}

/// Watches node classes, once their definition is installed. Any claim may wait for a class, or drift from it.
async fn watch_classes(
    client: Client,
    watch: Watch<KaitoNodeClass>,
    related: Related,
    token: CancellationToken,
) -> anyhow::Result<()> {
    crd_gate::appears(&client, node_class::DEFINITION, &token).await;
    watch
        .run(token, move |_: &Change<KaitoNodeClass>| {
            let all = related.claims.all().into_iter();
            related.enqueue_claims(all.map(|claim| claim.name().to_owned()));
        })
        .await
}

/// Watches the claims of one kind, once its definition is installed.
async fn watch_claims<K: ClaimObject + operator_runtime::Watched>(
    client: Client,
    watch: Watch<K>,
    related: Related,
    token: CancellationToken,
) -> anyhow::Result<()> {
    crd_gate::appears(&client, K::CLAIM.definition(), &token).await;
    watch
        .run(token, move |change: &Change<K>| {
            let enqueuer = related.claim_enqueuers.of(K::CLAIM);
            match &change.new {
                Some(claim) if is_new(claim.as_ref()) => enqueuer.enqueue_new(change.key.clone()),
                _ => enqueuer.enqueue(change.key.clone()),
            }
            if change.new.is_none() {
                // A claim of the other kind may have waited for the name, and Nodes may be left.
                let name = &change.key.name;
                related.claim_enqueuers.enqueue_named(&related.claims, name);
                related.enqueue_nodes(name);
            }
        })
        .await
}

/// Returns true if nothing was asked for yet: an instance takes longest, so its request comes before all else.
fn is_new<K: ClaimObject + operator_runtime::Watched>(claim: &K) -> bool {
    let finalizers = claim.finalizers();
    claim.meta().deletion_timestamp.is_none()
        && !finalizers
            .iter()
            .any(|held| held == labels::TERMINATION_FINALIZER)
}

/// Enqueues the objects that a change concerns.
#[derive(Clone)]
struct Related {
    claims: Claims,
    claim_enqueuers: ClaimEnqueuers,
    nodes_by_instance: Index<Node>,
    node_enqueuer: Enqueuer,
    maybe_draining: Index<Node>,
}

impl Related {
    /// Enqueues the claims of these names.
    fn enqueue_claims(&self, names: impl Iterator<Item = String>) {
        names.for_each(|name| self.claim_enqueuers.enqueue_named(&self.claims, &name));
    }

    /// Enqueues the Nodes of an instance.
    fn enqueue_nodes(&self, instance: &str) {
        let nodes = self.nodes_by_instance.get(instance);
        let keys = nodes.iter().map(|node| Key::of(node.as_ref()));
        keys.for_each(|key| self.node_enqueuer.enqueue(key));
    }

    /// Enqueues the claims of those Nodes that are drained: only a drain looks at pods and attachments.
    fn enqueue_drains(&self, nodes: impl Iterator<Item = String>) {
        let candidates = nodes.flat_map(|name| self.maybe_draining.get(&name));
        let draining = candidates.filter(|node| is_draining(node));
        self.enqueue_claims(draining.flat_map(|node| instance_names(&node)));
    }
}

/// Index of Nodes that may be draining, which keeps the index small.
fn maybe_draining(node: &Node) -> Vec<String> {
    let tainted = node.spec.as_ref().is_some_and(|spec| spec.taints.is_some());
    if node.metadata.deletion_timestamp.is_some() || tainted {
        vec![node.name_any()]
    } else {
        Vec::new()
    }
}

fn is_draining(node: &Node) -> bool {
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    node.metadata.deletion_timestamp.is_some() || taints.any(|t| t.key == labels::DISRUPTED_TAINT)
}
