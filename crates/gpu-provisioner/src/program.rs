//! The program: watches, leadership, reconcilers, the poller, listeners, and how they end together.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kaito_api::{ClaimKind, Machine, NodeClaim, labels, node_class};
use operator_runtime::{
    Caches, Controller, ControllerSettings, Reconciler, Runtime, Tasks, crd_gate, leader,
};
use serve::{Admin, Checks, Gate, Readiness};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::capacity::CapacitySurveyor;
use crate::claims::ClaimEnqueuers;
use crate::fleet::FleetReport;
use crate::offering_metrics;
use crate::poller::{InstancePoller, PollerMetrics};
use crate::provider::ChosenCloud;
use crate::reconcile::{ClaimReconciler, OrphanReconciler};
use crate::repairs::Repairs;
use crate::tracked_cloud::TrackedCloud;
use crate::watches::{self, Watched};

const NAME: &str = labels::GPU_PROVISIONER;
/// Time that a key waits in the queue, so that changes in a burst share one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Time that reconciles under way have at the end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the program until SIGTERM or SIGINT, or until the lease is lost.
///
/// # Errors
/// When an address cannot be bound, the configuration is wrong, or a task fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    operator_runtime::install_tls_provider();
    let _guard = telemetry::init(&args.telemetry, NAME)?;
    let (metrics, readiness, liveness) = (Metrics::new(), Readiness::new(), Checks::new());
    let mut tasks = Tasks::new()?;
    let encode = metrics.clone();
    let admin = Admin::new(readiness.clone(), liveness.clone(), move || encode.encode());
    tasks.spawn("admin", admin.serve(args.admin.bind().await?, tasks.token()));
    let cloud = args.provider.choose()?;
    let client = operator_runtime::connect(&args.client, NAME, env!("CARGO_PKG_VERSION")).await?;
    let health = args.health.health(&readiness, &liveness);
    let runtime = Runtime::new(client, NAME, &metrics, health);
    let token = tasks.token();
    let (crds, listed) = (readiness.gate("crds"), readiness.gate("stores"));
    let release = readiness.gate("release");
    let definitions = ClaimKind::ALL.map(ClaimKind::definition);
    let present = crd_gate::any(runtime.client(), &definitions, &crds, &token).await;
    if token.is_cancelled() {
        return tasks.run(GRACE).await;
    }
    for definition in definitions.iter().filter(|name| !present.contains(name)) {
        tracing::info!(
            definition,
            "definition is not installed; its claims are watched once it is"
        );
    }
    let gates = Gates {
        cluster: readiness.gate("cluster"),
        listing: readiness.gate("instances"),
    };
    // A replica that waits for the lease is ready, too.
    gates.cluster.set(true, "");
    gates.listing.set(true, "");
    let loops = Loops::new(&args, &cloud, &runtime, &mut tasks, &metrics, gates);
    // A class that exists decides what is bought, so no launch precedes the first listing of classes.
    let classes = crd_gate::present(runtime.client(), &[node_class::DEFINITION], &crds, &token).await;
    let needed = loops.needed(&present, !classes.is_empty());
    tasks.spawn("reconcile", async move {
        needed.ready(&listed, &token).await;
        let Some(leadership) = leader::acquire(&args.leader, &runtime, &release, &token).await? else {
            return Ok(());
        };
        Box::pin(leadership.hold(loops.run(&runtime, &token))).await
    });
    tasks.run(GRACE).await
}

/// Parts of the readiness of a leader.
struct Gates {
    cluster: Gate,
    listing: Gate,
}

/// The loops that run while this replica is the leader.
struct Loops {
    machines: Controller<ClaimReconciler<Machine>>,
    node_claims: Controller<ClaimReconciler<NodeClaim>>,
    orphans: Controller<OrphanReconciler>,
    poller: InstancePoller,
    surveyor: Option<CapacitySurveyor>,
}

impl Loops {
    /// Starts the watches and prepares the loops over their caches.
    fn new(
        args: &Args,
        chosen: &ChosenCloud,
        runtime: &Runtime,
        tasks: &mut Tasks,
        metrics: &Metrics,
        gates: Gates,
    ) -> Self {
        let planner = args.settings(chosen);
        let cloud = Arc::new(TrackedCloud::new(Arc::clone(&chosen.provider)));
        offering_metrics::register(metrics, &cloud, &planner);
        let (machine_enqueuer, machine_queue) = operator_runtime::queue(DEBOUNCE);
        let (node_claim_enqueuer, node_claim_queue) = operator_runtime::queue(DEBOUNCE);
        let (node_enqueuer, node_queue) = operator_runtime::queue(DEBOUNCE);
        let enqueuers = ClaimEnqueuers {
            machines: machine_enqueuer,
            node_claims: node_claim_enqueuer,
        };
        let Watched {
            source,
            nodes,
            caches,
        } = watches::start(runtime, tasks, &enqueuers, &node_enqueuer);
        let settings = ControllerSettings {
            concurrency: args.concurrency.into(),
            ..ControllerSettings::default()
        };
        let repairs = Repairs::new(runtime.client(), metrics);
        let surveyor = args.capacity_config_map.as_ref().map(|config_map| {
            CapacitySurveyor::new(&cloud, &source, &chosen.place, config_map, runtime, metrics)
        });
        Self {
            surveyor,
            poller: InstancePoller {
                cloud: Arc::clone(&cloud),
                source: source.clone(),
                nodes: nodes.clone(),
                node_enqueuer,
                enqueuers,
                client: runtime.client().clone(),
                settings: planner.clone(),
                intervals: args.intervals(),
                metrics: PollerMetrics::new(metrics),
                fleet: FleetReport::new(args.fleet_config_map.as_ref(), runtime, metrics),
                repairs: repairs.clone(),
                cluster_gate: gates.cluster,
                listing_gate: gates.listing,
                was_full: AtomicBool::new(false),
                reported_upstream: Mutex::default(),
            },
            machines: Controller {
                cache: source.claims.machines.clone(),
                reconciler: ClaimReconciler::new(
                    source.clone(),
                    Arc::clone(&cloud),
                    planner.clone(),
                    repairs.clone(),
                ),
                caches: caches.clone().with(&source.claims.machines),
                queue: machine_queue,
                settings,
            },
            node_claims: Controller {
                cache: source.claims.node_claims.clone(),
                reconciler: ClaimReconciler::new(source.clone(), Arc::clone(&cloud), planner, repairs),
                caches: caches.clone().with(&source.claims.node_claims),
                queue: node_claim_queue,
                settings,
            },
            orphans: Controller {
                cache: nodes,
                reconciler: OrphanReconciler {
                    caches: source,
                    cloud,
                },
                caches,
                queue: node_queue,
                settings,
            },
        }
    }

    /// Caches that must be filled before the first reconcile: those of kinds that are installed.
    fn needed(&self, present: &[&str], with_classes: bool) -> Caches {
        let mut needed = self.orphans.caches.clone();
        if with_classes {
            needed = needed.with(&self.poller.source.classes);
        }
        if present.contains(&ClaimKind::Machine.definition()) {
            needed = needed.with(&self.machines.cache);
        }
        if present.contains(&ClaimKind::NodeClaim.definition()) {
            needed = needed.with(&self.node_claims.cache);
        }
        needed
    }

    async fn run(self, runtime: &Runtime, token: &CancellationToken) -> anyhow::Result<()> {
        tokio::join!(
            reconcile(self.machines, runtime, token),
            reconcile(self.node_claims, runtime, token),
            reconcile(self.orphans, runtime, token),
            self.poller.run(token.clone()),
            async {
                if let Some(surveyor) = self.surveyor {
                    surveyor.run(token.clone()).await;
                }
            },
        );
        Ok(())
    }
}

/// Reconciles the objects of one kind, once they are listed: their definition may be installed later.
async fn reconcile<R: Reconciler>(controller: Controller<R>, runtime: &Runtime, token: &CancellationToken) {
    tokio::select! {
        () = controller.cache.ready() => controller.run(runtime, token.clone()).await,
        () = token.cancelled() => {}
    }
}
