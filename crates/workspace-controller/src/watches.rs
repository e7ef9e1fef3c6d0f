//! The watches: one cache for each kind, and the Workspaces that a changed object concerns.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kaito_api::{ClaimKind, NodeClaim, Workspace, labels};
use kube::Resource;
use kube::runtime::watcher;
use operator_runtime::{Cache, Caches, Change, Enqueuer, Key, Runtime, Tasks, Watch, Watched};
use workspace_plan::{ProvisionerMode, Settings};

use crate::launch_backoff::SharedLaunchBackoffs;
use crate::observe::{CacheSource, concerned, owner_key, owner_value, owner_value_namespaced};
use crate::strip;

/// Starts the watches and returns their caches.
///
/// Workloads and Services of other owners are watched too: one of them may have a name that a Workspace needs. An apply
/// would take it over.
pub(crate) fn start(
    runtime: &Runtime,
    tasks: &mut Tasks,
    enqueuer: &Enqueuer,
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
    let network_policies = runtime.watch(all(), strip::network_policy);
    let source = CacheSource {
        workspaces: workspaces.cache(),
        machines: machines.cache(),
        owned_machines: machines.index(owner_value),
        node_claims: node_claims.cache(),
        owned_node_claims: node_claims.index(owner_value),
        launch_backoffs: SharedLaunchBackoffs::default(),
        nodes: nodes.cache(),
        owned_nodes: nodes.index(owner_value),
        pods: pods.index(owner_value_namespaced),
        deployments: deployments.cache(),
        stateful_sets: stateful_sets.cache(),
        jobs: jobs.cache(),
        services: services.cache(),
        config_maps: config_maps.cache(),
        network_policies: network_policies.cache(),
    };
    let mut caches = Caches::new()
        .with(&source.workspaces)
        .with(&source.nodes)
        .with(&pods.cache())
        .with(&source.deployments)
        .with(&source.stateful_sets)
        .with(&source.jobs)
        .with(&source.services)
        .with(&source.config_maps)
        .with(&source.network_policies);
    let mut start = Starter {
        tasks,
        enqueuer,
        workspaces: source.workspaces.clone(),
    };
    start.watch("workspaces", workspaces, |w| [Key::of(w)].into());
    if kinds.contains(&ClaimKind::Machine.definition()) {
        caches = caches.with(&machines.cache());
        start.watch("machines", machines, |m| owner_key(m).into_iter().collect());
    }
    if kinds.contains(&ClaimKind::NodeClaim.definition()) {
        caches = caches.with(&node_claims.cache());
        start.watch_node_claims(node_claims, source.launch_backoffs.clone());
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
    start.watch("networkpolicies", network_policies, concerned);
    (source, caches)
}

struct Starter<'a> {
    tasks: &'a mut Tasks,
    enqueuer: &'a Enqueuer,
    workspaces: Cache<Workspace>,
}

impl Starter<'_> {
    /// Runs a watch. A change enqueues the Workspaces that the old or the new object concerns.
    fn watch<K: Watched>(&mut self, name: &'static str, watch: Watch<K>, concerns: fn(&K) -> BTreeSet<Key>) {
        let (enqueuer, workspaces) = (self.enqueuer.clone(), self.workspaces.clone());
        let is_workspace = K::kind(&()) == Workspace::kind(&());
        self.tasks.spawn(
            name,
            watch.run(self.tasks.token(), move |change: &Change<K>| {
                let keys = change.both().flat_map(|object| concerns(object));
                // Most objects of a cluster concern no Workspace.
                keys.filter(|key| is_workspace || workspaces.get(key).is_some())
                    .for_each(|key| enqueuer.enqueue(key));
            }),
        );
    }

    /// Runs the watch of NodeClaims, which also records failed launches.
    fn watch_node_claims(&mut self, watch: Watch<NodeClaim>, backoffs: SharedLaunchBackoffs) {
        let (enqueuer, workspaces) = (self.enqueuer.clone(), self.workspaces.clone());
        self.tasks.spawn(
            "nodeclaims",
            watch.run(self.tasks.token(), move |change: &Change<NodeClaim>| {
                backoffs.record(change, Timestamp::now());
                let keys = change.both().filter_map(|claim| owner_key(claim.as_ref()));
                keys.filter(|key| workspaces.get(key).is_some())
                    .for_each(|key| enqueuer.enqueue(key));
            }),
        );
    }

    /// Runs a watch whose changes enqueue all Workspaces.
    fn watch_for_all<K: Watched>(&mut self, name: &'static str, watch: Watch<K>) {
        let (enqueuer, workspaces) = (self.enqueuer.clone(), self.workspaces.clone());
        self.tasks.spawn(
            name,
            watch.run(self.tasks.token(), move |_: &Change<K>| {
                enqueue_all(&workspaces, &enqueuer)
            }),
        );
    }
}

/// Enqueues all Workspaces.
pub(crate) fn enqueue_all(workspaces: &Cache<Workspace>, enqueuer: &Enqueuer) {
    for workspace in workspaces.all() {
        enqueuer.enqueue(Key::of(workspace.as_ref()));
    }
}
