//! Which kinds of objects are watched, and whom their changes wake.

use k8s_openapi::api::core::v1::Node;
use kaito_api::labels;
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use nodeclaim_plan::observe::instance_names;
use operator_runtime::{Cache, Caches, Change, Enqueuer, Index, Key, Runtime, Tasks, Watch, crd_gate};
use tokio_util::sync::CancellationToken;

use crate::claims::{ClaimObject, Claims, Triggers};
use crate::observe::{Stores, node_of_pod, provider_id};
use crate::trim;

/// What the watches fill.
pub(crate) struct Watched {
    /// Everything a decision about a claim looks at.
    pub(crate) stores: Stores,
    /// Nodes.
    pub(crate) nodes: Cache<Node>,
    /// All stores but those of claims, whose definitions may be missing.
    pub(crate) caches: Caches,
}

/// Starts all watches.
pub(crate) fn start(
    runtime: &Runtime,
    tasks: &mut Tasks,
    triggers: &Triggers,
    node_trigger: &Enqueuer,
) -> Watched {
    let all = watcher::Config::default;
    let machines = runtime.watch(all(), trim::machine);
    let node_claims = runtime.watch(all(), trim::node_claim);
    let mut nodes = runtime.watch(all(), trim::node);
    let mut pods = runtime.watch(all(), trim::pod);
    let mut attachments = runtime.watch(all(), trim::attachment);
    let stores = Stores {
        claims: Claims {
            machines: machines.cache(),
            node_claims: node_claims.cache(),
        },
        nodes_by_pool: nodes.index(instance_names),
        nodes_by_provider_id: nodes.index(provider_id),
        pods_by_node: pods.index(node_of_pod),
        attachments_by_node: attachments.index(|a| vec![a.spec.node_name.clone()]),
    };
    let watched = Watched {
        nodes: nodes.cache(),
        caches: Caches::new()
            .with(&nodes.cache())
            .with(&pods.cache())
            .with(&attachments.cache()),
        stores,
    };
    let wake = Wake {
        claims: watched.stores.claims.clone(),
        triggers: triggers.clone(),
        nodes_by_pool: watched.stores.nodes_by_pool.clone(),
        node_trigger: node_trigger.clone(),
        leaving: nodes.index(leaving),
    };
    let (client, token) = (runtime.client().clone(), tasks.token());
    tasks.spawn(
        "machines",
        watch_claims(client.clone(), machines, wake.clone(), token.clone()),
    );
    tasks.spawn(
        "nodeclaims",
        watch_claims(client, node_claims, wake.clone(), token.clone()),
    );
    let of_nodes = wake.clone();
    tasks.spawn(
        "nodes",
        nodes.run(token.clone(), move |touched: &Change<Node>| {
            of_nodes.node_trigger.enqueue(touched.key.clone());
            of_nodes.pools(touched.both().flat_map(|node| instance_names(node)));
        }),
    );
    let of_pods = wake.clone();
    tasks.spawn(
        "pods",
        pods.run(token.clone(), move |touched| {
            of_pods.drained(touched.both().flat_map(|pod| node_of_pod(pod)));
        }),
    );
    tasks.spawn(
        "volumeattachments",
        attachments.run(token, move |touched| {
            wake.drained(touched.both().map(|attachment| attachment.spec.node_name.clone()));
        }),
    );
    watched
}

/// Watches the claims of one kind, once there is such a kind.
async fn watch_claims<K: ClaimObject>(
    client: Client,
    watch: Watch<K>,
    wake: Wake,
    token: CancellationToken,
) -> anyhow::Result<()> {
    crd_gate::appears(&client, K::CLAIM.definition(), &token).await;
    watch
        .run(token, move |touched: &Change<K>| {
            wake.triggers.of(K::CLAIM).enqueue(touched.key.clone());
            if touched.new.is_none() {
                // One of the other kind may have waited for the name, and Nodes may be left.
                wake.triggers.wake(&wake.claims, &touched.key.name);
                wake.nodes_of(&touched.key.name);
            }
        })
        .await
}

/// Wakes what a change concerns.
#[derive(Clone)]
struct Wake {
    claims: Claims,
    triggers: Triggers,
    nodes_by_pool: Index<Node>,
    node_trigger: Enqueuer,
    leaving: Index<Node>,
}

impl Wake {
    /// The claims of these pools.
    fn pools(&self, names: impl Iterator<Item = String>) {
        names.for_each(|name| self.triggers.wake(&self.claims, &name));
    }

    /// The Nodes of a pool.
    fn nodes_of(&self, pool: &str) {
        let nodes = self.nodes_by_pool.get(pool);
        nodes
            .iter()
            .for_each(|node| self.node_trigger.enqueue(Key::of(node.as_ref())));
    }

    /// The claims of nodes that may be being drained: nothing else looks at their guests.
    fn drained(&self, nodes: impl Iterator<Item = String>) {
        let leaving = nodes.flat_map(|name| self.leaving.get(&name));
        let drained = leaving.filter(|node| is_draining(node));
        self.pools(drained.flat_map(|node| instance_names(&node)));
    }
}

fn leaving(node: &Node) -> Vec<String> {
    let tainted = node.spec.as_ref().is_some_and(|spec| spec.taints.is_some());
    if node.metadata.deletion_timestamp.is_some() || tainted {
        vec![node.name_any()]
    } else {
        Vec::new()
    }
}

fn is_draining(node: &Node) -> bool {
    let tainted = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    node.metadata.deletion_timestamp.is_some()
        || tainted.into_iter().any(|t| t.key == labels::DISRUPTED_TAINT)
}
