//! The program: watches, leadership, the listing of pools, listeners, and how they end together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kaito_api::labels;
use kube::ResourceExt as _;
use kube::runtime::watcher;
use operator_runtime::{Caches, Drive, DriveSettings, Index, Key, Runtime, Tasks, Touched, Trigger, leader};
use telemetry::{Admin, Metrics, Readiness};
use tokio::net::TcpListener;

use crate::args::Args;
use crate::lister::{Intervals, Lister, ListerMetrics};
use crate::observe::{Stores, node_of_pod, pool_names, provider_id};
use crate::pools::Pools;
use crate::reconcile::{Machines, OrphanNodes};
use crate::trim;

const NAME: &str = labels::GPU_PROVISIONER;
/// How long a change waits for company.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long reconciles under way may take at the end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the program until SIGTERM or SIGINT, or until the lease is lost.
///
/// # Errors
/// When an address can't be bound, the configuration is wrong, or a task fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    operator_runtime::install_tls_provider();
    let _guard = telemetry::init(&args.telemetry, NAME)?;
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let mut tasks = Tasks::new()?;
    serve_admin(
        &mut tasks,
        &metrics,
        &readiness,
        [args.metrics_bind_address, args.health_probe_bind_address],
    )
    .await?;
    let provider = args.azure.provider()?;
    let pools = Arc::new(Pools::new(Arc::new(provider)));
    let client = operator_runtime::connect(&args.client, NAME, env!("CARGO_PKG_VERSION")).await?;
    let runtime = Runtime::new(client, NAME, &metrics);
    let token = tasks.token();
    let (crds, listed) = (readiness.gate("crds"), readiness.gate("stores"));
    operator_runtime::crd_gate::wait(runtime.client(), &["machines.karpenter.sh"], &crds, &token).await;
    if token.is_cancelled() {
        return tasks.run(GRACE).await;
    }
    let (trigger, work) = operator_runtime::queue(DEBOUNCE);
    let (node_trigger, node_work) = operator_runtime::queue(DEBOUNCE);
    let (stores, nodes, caches) = start_watches(&runtime, &mut tasks, &trigger, &node_trigger);
    let lister = Lister {
        pools: Arc::clone(&pools),
        machines: stores.machines.clone(),
        trigger,
        client: runtime.client().clone(),
        settings: args.settings(),
        intervals: intervals(&args),
        metrics: ListerMetrics::new(&metrics),
    };
    let settings = DriveSettings {
        concurrency: args.concurrency.into(),
    };
    let machines = Drive {
        store: stores.machines.clone(),
        reconciler: Machines {
            stores: stores.clone(),
            pools: Arc::clone(&pools),
            settings: args.settings(),
        },
        caches: caches.clone(),
        work,
        settings,
    };
    let orphans = Drive {
        store: nodes,
        reconciler: OrphanNodes { stores, pools },
        caches: caches.clone(),
        work: node_work,
        settings,
    };
    tasks.spawn("reconcile", async move {
        caches.ready(&listed, &token).await;
        let Some(leadership) = leader::acquire(&args.leader, runtime.client(), NAME, &token).await else {
            return Ok(());
        };
        let all = async {
            tokio::try_join!(
                machines.run(&runtime, token.clone()),
                orphans.run(&runtime, token.clone()),
                lister.run(token.clone()),
            )
            .map(drop)
        };
        Box::pin(leadership.hold(all)).await
    });
    tasks.run(GRACE).await
}

fn intervals(args: &Args) -> Intervals {
    Intervals {
        busy: Duration::from_secs_f64(args.list_interval_seconds),
        idle: Duration::from_secs_f64(args.idle_list_interval_seconds),
    }
}

async fn serve_admin(
    tasks: &mut Tasks,
    metrics: &Metrics,
    readiness: &Readiness,
    addresses: [SocketAddr; 2],
) -> anyhow::Result<()> {
    let admin = Admin::new(metrics.clone(), readiness.clone());
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("{address} can't be bound"))?;
        tasks.spawn("admin", admin.clone().serve(listener, tasks.token()));
    }
    Ok(())
}

fn start_watches(
    runtime: &Runtime,
    tasks: &mut Tasks,
    trigger: &Trigger,
    node_trigger: &Trigger,
) -> (Stores, operator_runtime::Store<Node>, Caches) {
    let all = watcher::Config::default;
    let machines = runtime.watch(all(), trim::machine);
    let mut nodes = runtime.watch(all(), trim::node);
    let mut pods = runtime.watch(all(), trim::pod);
    let mut attachments = runtime.watch(all(), trim::attachment);
    let stores = Stores {
        machines: machines.store(),
        nodes_by_pool: nodes.index(pool_names),
        nodes_by_provider_id: nodes.index(provider_id),
        pods_by_node: pods.index(node_of_pod),
        attachments_by_node: attachments.index(|a| vec![a.spec.node_name.clone()]),
    };
    let node_store = nodes.store();
    let leaving = nodes.index(|node| {
        if node.metadata.deletion_timestamp.is_some()
            || node.spec.as_ref().is_some_and(|s| s.taints.is_some())
        {
            vec![node.name_any()]
        } else {
            Vec::new()
        }
    });
    let caches = Caches::new()
        .with(&stores.machines)
        .with(&node_store)
        .with(&pods.store())
        .with(&attachments.store());
    let token = tasks.token();
    tasks.spawn(
        "machines",
        machines.run(token.clone(), {
            let (trigger, nodes, node_trigger) = (
                trigger.clone(),
                stores.nodes_by_pool.clone(),
                node_trigger.clone(),
            );
            move |touched| {
                trigger.enqueue(touched.key.clone());
                if touched.after.is_none() {
                    nodes
                        .get(&touched.key.name)
                        .iter()
                        .for_each(|node| node_trigger.enqueue(Key::of(node.as_ref())));
                }
            }
        }),
    );
    tasks.spawn(
        "nodes",
        nodes.run(token.clone(), {
            let (trigger, node_trigger) = (trigger.clone(), node_trigger.clone());
            move |touched: &Touched<Node>| {
                node_trigger.enqueue(touched.key.clone());
                enqueue_machines(touched.both().flat_map(|node| pool_names(node)), &trigger);
            }
        }),
    );
    let of_pods = WakeByNode {
        leaving: leaving.clone(),
        trigger: trigger.clone(),
    };
    tasks.spawn(
        "pods",
        pods.run(token.clone(), move |touched| {
            of_pods.wake(touched.both().flat_map(|pod| node_of_pod(pod)));
        }),
    );
    let of_attachments = WakeByNode {
        leaving,
        trigger: trigger.clone(),
    };
    tasks.spawn(
        "volumeattachments",
        attachments.run(token, move |touched| {
            of_attachments.wake(touched.both().map(|attachment| attachment.spec.node_name.clone()));
        }),
    );
    (stores, node_store, caches)
}

/// Wakes the Machine of a node, when that node may be being drained: nothing else looks at its guests.
struct WakeByNode {
    leaving: Index<Node>,
    trigger: Trigger,
}

impl WakeByNode {
    fn wake(&self, nodes: impl Iterator<Item = String>) {
        let leaving = nodes.flat_map(|name| self.leaving.get(&name));
        let drained = leaving.filter(|node| is_draining(node));
        enqueue_machines(drained.flat_map(|node| pool_names(&node)), &self.trigger);
    }
}

fn is_draining(node: &Node) -> bool {
    let tainted = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    node.metadata.deletion_timestamp.is_some()
        || tainted.into_iter().any(|t| t.key == labels::DISRUPTED_TAINT)
}

fn enqueue_machines(names: impl Iterator<Item = String>, trigger: &Trigger) {
    names.for_each(|name| trigger.enqueue(Key::cluster(name)));
}
