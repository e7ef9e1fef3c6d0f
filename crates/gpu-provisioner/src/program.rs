//! The program: watches, leadership, the listing of pools, listeners, and how they end together.

use std::sync::Arc;
use std::time::Duration;

use kaito_api::{ClaimKind, Machine, NodeClaim, labels};
use operator_runtime::{Controller, ControllerSettings, Reconciler, Runtime, Tasks, crd_gate, leader};
use serve::{Admin, Readiness};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::claims::Triggers;
use crate::lister::{Intervals, Lister, ListerMetrics};
use crate::pools::Pools;
use crate::reconcile::{ClaimsOf, OrphanNodes};
use crate::watches::{self, Watched};

const NAME: &str = labels::GPU_PROVISIONER;
/// How long a change waits for company.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long reconciles under way may take at the end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the program until SIGTERM or SIGINT, or until the lease is lost.
///
/// # Errors
/// When an address cannot be bound, the configuration is wrong, or a task fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    operator_runtime::install_tls_provider();
    let _guard = telemetry::init(&args.telemetry, NAME)?;
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let mut tasks = Tasks::new()?;
    let encode = metrics.clone();
    let admin = Admin::new(readiness.clone(), move || encode.encode());
    tasks.spawn("admin", admin.serve(args.admin.bind().await?, tasks.token()));
    let provider = args.azure.provider()?;
    let pools = Arc::new(Pools::new(Arc::new(provider)));
    let client = operator_runtime::connect(&args.client, NAME, env!("CARGO_PKG_VERSION")).await?;
    let runtime = Runtime::new(client, NAME, &metrics);
    let token = tasks.token();
    let (crds, listed) = (readiness.gate("crds"), readiness.gate("stores"));
    let all = ClaimKind::ALL.map(ClaimKind::definition);
    let present = crd_gate::any(runtime.client(), &all, &crds, &token).await;
    if token.is_cancelled() {
        return tasks.run(GRACE).await;
    }
    for name in all.iter().filter(|name| !present.contains(name)) {
        tracing::info!("{name} is not installed: claims of that kind are looked for once it is");
    }
    let (machine_trigger, machine_work) = operator_runtime::queue(DEBOUNCE);
    let (node_claim_trigger, node_claim_work) = operator_runtime::queue(DEBOUNCE);
    let (node_trigger, node_work) = operator_runtime::queue(DEBOUNCE);
    let triggers = Triggers {
        machines: machine_trigger,
        node_claims: node_claim_trigger,
    };
    let watched = watches::start(&runtime, &mut tasks, &triggers, &node_trigger);
    let Watched {
        stores,
        nodes,
        caches,
    } = watched;
    let lister = Lister {
        pools: Arc::clone(&pools),
        claims: stores.claims.clone(),
        triggers,
        client: runtime.client().clone(),
        settings: args.settings(),
        intervals: intervals(&args),
        metrics: ListerMetrics::new(&metrics),
    };
    let settings = ControllerSettings {
        concurrency: args.concurrency.into(),
    };
    let mut needed = caches.clone();
    if present.contains(&ClaimKind::Machine.definition()) {
        needed = needed.with(&stores.claims.machines);
    }
    if present.contains(&ClaimKind::NodeClaim.definition()) {
        needed = needed.with(&stores.claims.node_claims);
    }
    let machines = Controller {
        cache: stores.claims.machines.clone(),
        reconciler: ClaimsOf::<Machine>::new(stores.clone(), Arc::clone(&pools), args.settings()),
        caches: caches.clone().with(&stores.claims.machines),
        queue: machine_work,
        settings,
    };
    let node_claims = Controller {
        cache: stores.claims.node_claims.clone(),
        reconciler: ClaimsOf::<NodeClaim>::new(stores.clone(), Arc::clone(&pools), args.settings()),
        caches: caches.clone().with(&stores.claims.node_claims),
        queue: node_claim_work,
        settings,
    };
    let orphans = Controller {
        cache: nodes,
        reconciler: OrphanNodes { stores, pools },
        caches,
        queue: node_work,
        settings,
    };
    tasks.spawn("reconcile", async move {
        needed.ready(&listed, &token).await;
        let Some(leadership) = leader::acquire(&args.leader, runtime.client(), NAME, &token).await else {
            return Ok(());
        };
        let all = async {
            tokio::try_join!(
                reconcile(machines, &runtime, token.clone()),
                reconcile(node_claims, &runtime, token.clone()),
                reconcile(orphans, &runtime, token.clone()),
                lister.run(token.clone()),
            )
            .map(drop)
        };
        Box::pin(leadership.hold(all)).await
    });
    tasks.run(GRACE).await
}

/// Reconciles the objects of one kind, as soon as they are listed: their definition may be installed later.
async fn reconcile<R: Reconciler>(
    controller: Controller<R>,
    runtime: &Runtime,
    token: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        () = controller.cache.ready() => controller.run(runtime, token).await,
        () = token.cancelled() => {}
    }
    Ok(())
}

fn intervals(args: &Args) -> Intervals {
    Intervals {
        busy: Duration::from_secs_f64(args.list_interval_seconds),
        idle: Duration::from_secs_f64(args.idle_list_interval_seconds),
    }
}
