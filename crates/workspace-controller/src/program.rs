//! The program: starts watches, the reconcile loop and listeners, and ends them together.

use std::sync::Arc;
use std::time::Duration;

use kaito_api::{ClaimKind, Machine, NodeClaim, labels};
use operator_runtime::{Controller, ControllerSettings, Runtime, Tasks, crd_gate, leader};
use serve::{Admin, Checks, Readiness};
use telemetry::Metrics;
use workspace_plan::ProvisionerMode;

use crate::args::Args;
use crate::capacity::SharedCapacity;
use crate::orphans::{OrphanEnqueuers, OrphanShare, Orphans};
use crate::presets::Presets;
use crate::reconcile::{LiveClaims, Workspaces};
use crate::registry_authorities::AuthorityWatch;
use crate::start_traces::StartTraces;
use crate::{watches, workspace_metrics};

const NAME: &str = labels::WORKSPACE_CONTROLLER;
/// Time that a key waits for further changes: a node that joins changes many objects at once.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Time for which a Workspace rests after a reconcile that wrote: a step of its claims, nodes or pods is followed by others.
const REST: Duration = Duration::from_secs(1);
/// Time for running reconciles to end at shutdown.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the program until SIGTERM or SIGINT, or until the lease is lost.
///
/// # Errors
/// An image has no reference, or a file of instance types has a problem. An address cannot be bound, the API server does not
/// respond, or a task fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    operator_runtime::install_tls_provider();
    let guard = telemetry::init(&args.telemetry, NAME)?;
    args.node_claims.check()?;
    let instance_types = args.instance_types.load()?;
    let mut settings = args.settings(args.images.images()?, instance_types);
    let (metrics, readiness, liveness) = (Metrics::new(), Readiness::new(), Checks::new());
    let mut tasks = Tasks::new()?;
    let encode = metrics.clone();
    let admin = Admin::new(readiness.clone(), liveness.clone(), move || encode.encode());
    tasks.spawn("admin", admin.serve(args.admin.bind().await?, tasks.token()));
    let client = operator_runtime::connect(&args.client, NAME, env!("CARGO_PKG_VERSION")).await?;
    let health = args.health.health(&readiness, &liveness);
    let runtime = Runtime::new(client, NAME, &metrics, health);
    let token = tasks.token();
    let config_map = args.registry_tls.preset_registry_ca_config_map.as_deref();
    let authorities = config_map.map(AuthorityWatch::new).transpose()?;
    let published = authorities.as_ref().map(AuthorityWatch::subscribe);
    let (enqueuer, queue) = operator_runtime::queue(DEBOUNCE);
    let on_answer = enqueuer.clone();
    let presets = Presets::new(
        &args.preset_registry,
        args.registry_tls.trust(published)?,
        move |workspace| on_answer.enqueue(workspace),
    )?;
    if let Some(authorities) = authorities {
        let (client, token) = (runtime.client().clone(), token.clone());
        tasks.spawn("registry-authorities", async move {
            authorities.run(client, token).await;
            Ok(())
        });
    }
    let (crds, listed) = (readiness.gate("crds"), readiness.gate("stores"));
    let release = readiness.gate("release");
    crd_gate::wait(runtime.client(), &needed_crds(settings.mode), &crds, &token).await;
    let all = ClaimKind::ALL.map(ClaimKind::definition);
    let kinds = crd_gate::present(runtime.client(), &all, &crds, &token).await;
    if token.is_cancelled() {
        return tasks.run(GRACE).await;
    }
    for name in all.iter().filter(|name| !kinds.contains(name)) {
        tracing::info!(
            definition = name,
            "definition is not installed, ignoring claims of this kind"
        );
    }
    settings.image_volumes = args.image_volumes.supported(runtime.client(), &token).await;
    let (machine_enqueuer, machine_queue) = operator_runtime::queue(DEBOUNCE);
    let (node_claim_enqueuer, node_claim_queue) = operator_runtime::queue(DEBOUNCE);
    let orphan_enqueuers = OrphanEnqueuers {
        machines: machine_enqueuer,
        node_claims: node_claim_enqueuer,
    };
    let traces = StartTraces::new(guard.span_sink(), runtime.writer_check());
    let (mut source, caches) = watches::start(
        &runtime,
        &mut tasks,
        &enqueuer,
        &orphan_enqueuers,
        &settings,
        &kinds,
        traces.clone(),
    );
    if let Some(config_map) = &args.capacity_config_map {
        source.capacity =
            SharedCapacity::watch(&runtime, &mut tasks, config_map, &source.workspaces, &enqueuer);
    }
    workspace_metrics::register(&metrics, runtime.writer_check(), &source);
    let share = Arc::new(OrphanShare::new(
        source.workspaces.clone(),
        runtime.client().clone(),
        settings.clone(),
        &metrics,
    ));
    let loop_settings = ControllerSettings {
        concurrency: args.concurrency.into(),
        ..ControllerSettings::default()
    };
    let orphaned_machines = Controller {
        cache: source.machines.clone(),
        reconciler: Orphans::<Machine>::new(&share),
        caches: caches.clone(),
        queue: machine_queue,
        settings: loop_settings,
    };
    let orphaned_node_claims = Controller {
        cache: source.node_claims.clone(),
        reconciler: Orphans::<NodeClaim>::new(&share),
        caches: caches.clone(),
        queue: node_claim_queue,
        settings: loop_settings,
    };
    let (watch, workspaces) = (presets.watch(), source.workspaces.clone());
    let catalog = presets.clone();
    let (user_configs, capacity) = (source.user_configs.clone(), source.capacity.clone());
    let all_workspaces = source.workspaces.clone();
    let presets_token = token.clone();
    tasks.spawn("presets", async move {
        watch
            .run(presets_token, || watches::enqueue_all(&workspaces, &enqueuer))
            .await;
        Ok(())
    });
    let controller = Controller {
        cache: source.workspaces.clone(),
        reconciler: Workspaces {
            caches: source,
            presets,
            settings,
            live: LiveClaims {
                client: runtime.client().clone(),
                kinds: ClaimKind::ALL
                    .into_iter()
                    .filter(|kind| kinds.contains(&kind.definition()))
                    .collect(),
            },
        },
        caches: caches.clone(),
        queue,
        settings: ControllerSettings {
            rest: REST,
            ..loop_settings
        },
    };
    tasks.spawn("reconcile", async move {
        caches.ready(&listed, &token).await;
        catalog.ready().await;
        user_configs.ready(&token).await;
        capacity.ready(&token).await;
        match leader::acquire(&args.leader, &runtime, &release, &token).await? {
            Some(leadership) => {
                traces.catch_up(&all_workspaces.all());
                let reconciling = async {
                    tokio::join!(
                        controller.run(&runtime, token.clone()),
                        orphaned_machines.run(&runtime, token.clone()),
                        orphaned_node_claims.run(&runtime, token.clone()),
                    );
                    Ok(())
                };
                Box::pin(leadership.hold(reconciling)).await
            }
            None => Ok(()),
        }
    });
    tasks.run(GRACE).await
}

fn needed_crds(mode: ProvisionerMode) -> Vec<&'static str> {
    let claims = mode.claim_kind().map(ClaimKind::definition);
    ["workspaces.kaito.sh"].into_iter().chain(claims).collect()
}
