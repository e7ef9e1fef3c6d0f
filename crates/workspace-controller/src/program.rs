//! The program: watches, leadership, listeners, and how they end together.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kaito_api::{ClaimKind, NodeClaim, labels};
use kube::Resource;
use kube::runtime::watcher;
use operator_runtime::{
    Cache, Caches, Change, Controller, ControllerSettings, Enqueuer, Key, Runtime, Tasks, Watch, Watched,
    crd_gate, leader,
};
use serve::{Admin, Readiness};
use telemetry::Metrics;
use workspace_plan::{ProvisionerMode, Settings};

use crate::args::Args;
use crate::launch_backoff::SharedLaunchBackoffs;
use crate::observe::{CacheSource, concerned, owner_key, owner_value, owner_value_namespaced};
use crate::presets::Presets;
use crate::reconcile::{LiveClaims, Workspaces};
use crate::strip;

const NAME: &str = labels::WORKSPACE_CONTROLLER;
/// How long a change waits for company: a node's joining touches many objects at once.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long reconciles under way may take at the end.
const GRACE: Duration = Duration::from_secs(20);

/// Runs the program until SIGTERM or SIGINT, or until the lease is lost.
///
/// # Errors
/// When an address cannot be bound, the API server cannot be asked, or a task fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    operator_runtime::install_tls_provider();
    let _guard = telemetry::init(&args.telemetry, NAME)?;
    let (metrics, readiness) = (Metrics::new(), Readiness::new());
    let mut tasks = Tasks::new()?;
    let encode = metrics.clone();
    let admin = Admin::new(readiness.clone(), move || encode.encode());
    tasks.spawn("admin", admin.serve(args.admin.bind().await?, tasks.token()));
    let client = operator_runtime::connect(&args.client, NAME, env!("CARGO_PKG_VERSION")).await?;
    let runtime = Runtime::new(client, NAME, &metrics);
    let settings = args.settings();
    let presets = Presets::new(&args.preset_registry, args.registry_tls.config()?)?;
    let token = tasks.token();
    let (crds, listed) = (readiness.gate("crds"), readiness.gate("stores"));
    crd_gate::wait(runtime.client(), &needed_crds(settings.mode), &crds, &token).await;
    let all = ClaimKind::ALL.map(ClaimKind::definition);
    let kinds = crd_gate::present(runtime.client(), &all, &crds, &token).await;
    if token.is_cancelled() {
        return tasks.run(GRACE).await;
    }
    for name in all.iter().filter(|name| !kinds.contains(name)) {
        tracing::info!(
            "{name} is not installed: no Workspace can have claims of that kind, and none are looked for"
        );
    }
    let (trigger, work) = operator_runtime::queue(DEBOUNCE);
    let (stores, caches) = start_watches(&runtime, &mut tasks, &trigger, &settings, &kinds);
    let (watch, workspaces) = (presets.watch(), stores.workspaces.clone());
    let presets_token = token.clone();
    tasks.spawn("presets", async move {
        watch.run(presets_token, || wake_all(&workspaces, &trigger)).await;
        Ok(())
    });
    let controller = Controller {
        cache: stores.workspaces.clone(),
        reconciler: Workspaces {
            caches: stores,
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
        queue: work,
        settings: ControllerSettings {
            concurrency: args.concurrency.into(),
        },
    };
    tasks.spawn("reconcile", async move {
        caches.ready(&listed, &token).await;
        match leader::acquire(&args.leader, runtime.client(), NAME, &token).await {
            Some(leadership) => {
                let reconciling = async {
                    controller.run(&runtime, token).await;
                    Ok(())
                };
                leadership.hold(reconciling).await
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

fn start_watches(
    runtime: &Runtime,
    tasks: &mut Tasks,
    trigger: &Enqueuer,
    settings: &Settings,
    kinds: &[&str],
) -> (CacheSource, Caches) {
    let all = watcher::Config::default;
    let ours = || watcher::Config::default().labels(labels::WORKSPACE);
    let workspaces = runtime.watch(all(), strip::workspace);
    let mut machines = runtime.watch(all(), strip::machine);
    let mut node_claims = runtime.watch(all(), strip::node_claim);
    let mut nodes = runtime.watch(all(), strip::node);
    let mut pods = runtime.watch(ours(), strip::pod);
    let deployments = runtime.watch(all(), strip::deployment);
    let stateful_sets = runtime.watch(all(), strip::stateful_set);
    let jobs = runtime.watch(all(), strip::job);
    let services = runtime.watch(all(), strip::service);
    let config_maps = runtime.watch(ours(), strip::config_map);
    let stores = CacheSource {
        workspaces: workspaces.cache(),
        machines: machines.index(owner_value),
        node_claims: node_claims.index(owner_value),
        launch_backoffs: SharedLaunchBackoffs::default(),
        nodes: nodes.cache(),
        owned_nodes: nodes.index(owner_value),
        pods: pods.index(owner_value_namespaced),
        deployments: deployments.cache(),
        stateful_sets: stateful_sets.cache(),
        jobs: jobs.cache(),
        services: services.cache(),
        config_maps: config_maps.cache(),
    };
    let mut caches = Caches::new()
        .with(&stores.workspaces)
        .with(&stores.nodes)
        .with(&pods.cache())
        .with(&stores.deployments)
        .with(&stores.stateful_sets)
        .with(&stores.jobs)
        .with(&stores.services)
        .with(&stores.config_maps);
    let mut start = Starter {
        tasks,
        trigger,
        workspaces: stores.workspaces.clone(),
    };
    start.watch("workspaces", workspaces, |w| [Key::of(w)].into());
    if kinds.contains(&ClaimKind::Machine.definition()) {
        caches = caches.with(&machines.cache());
        start.watch("machines", machines, |m| owner_key(m).into_iter().collect());
    }
    if kinds.contains(&ClaimKind::NodeClaim.definition()) {
        caches = caches.with(&node_claims.cache());
        start.watch_node_claims(node_claims, stores.launch_backoffs.clone());
    }
    match settings.mode {
        ProvisionerMode::Machine | ProvisionerMode::NodeClaim => {
            start.watch("nodes", nodes, |n| owner_key(n).into_iter().collect());
        }
        ProvisionerMode::Byo => start.watch_for_all("nodes", nodes),
    }
    start.watch("pods", pods, concerned);
    start.watch("deployments", deployments, concerned);
    start.watch("statefulsets", stateful_sets, concerned);
    start.watch("jobs", jobs, concerned);
    start.watch("services", services, concerned);
    start.watch("configmaps", config_maps, concerned);
    (stores, caches)
}

struct Starter<'a> {
    tasks: &'a mut Tasks,
    trigger: &'a Enqueuer,
    workspaces: Cache<kaito_api::Workspace>,
}

impl Starter<'_> {
    /// Runs a watch; a touched object wakes the Workspaces it concerns, as it was and as it is.
    fn watch<K: Watched>(&mut self, name: &'static str, watch: Watch<K>, concerns: fn(&K) -> BTreeSet<Key>) {
        let (trigger, workspaces) = (self.trigger.clone(), self.workspaces.clone());
        let is_workspace = K::kind(&()) == kaito_api::Workspace::kind(&());
        self.tasks.spawn(
            name,
            watch.run(self.tasks.token(), move |touched: &Change<K>| {
                let keys = touched.both().flat_map(|object| concerns(object));
                // Most objects of a cluster have nothing to do with any Workspace.
                keys.filter(|key| is_workspace || workspaces.get(key).is_some())
                    .for_each(|key| trigger.enqueue(key));
            }),
        );
    }

    /// Runs the watch of NodeClaims, of which it is remembered when they go away too early.
    fn watch_node_claims(&mut self, watch: Watch<NodeClaim>, backoffs: SharedLaunchBackoffs) {
        let (trigger, workspaces) = (self.trigger.clone(), self.workspaces.clone());
        self.tasks.spawn(
            "nodeclaims",
            watch.run(self.tasks.token(), move |touched: &Change<NodeClaim>| {
                backoffs.record(touched, Timestamp::now());
                let keys = touched.both().filter_map(|claim| owner_key(claim.as_ref()));
                keys.filter(|key| workspaces.get(key).is_some())
                    .for_each(|key| trigger.enqueue(key));
            }),
        );
    }

    /// Runs a watch whose objects may concern any Workspace.
    fn watch_for_all<K: Watched>(&mut self, name: &'static str, watch: Watch<K>) {
        let (trigger, workspaces) = (self.trigger.clone(), self.workspaces.clone());
        self.tasks.spawn(
            name,
            watch.run(self.tasks.token(), move |_: &Change<K>| {
                wake_all(&workspaces, &trigger)
            }),
        );
    }
}

fn wake_all(workspaces: &Cache<kaito_api::Workspace>, trigger: &Enqueuer) {
    for workspace in workspaces.all() {
        trigger.enqueue(Key::of(workspace.as_ref()));
    }
}
