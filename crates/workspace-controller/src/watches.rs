//! The watches: one cache for each kind, and the Workspaces that a changed object concerns.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Event;
use kaito_api::{ClaimKind, ClaimObject, Workspace, labels};
use kube::Resource;
use kube::runtime::watcher;
use operator_runtime::{Cache, Caches, Change, Enqueuer, Key, Runtime, Tasks, Watch, Watched};
use workspace_plan::{ProvisionerMode, Settings};

use crate::capacity::SharedCapacity;
use crate::launch_backoff::SharedLaunchBackoffs;
use crate::ledger::SharedLedger;
use crate::observe::{
    CacheSource, concerned, namespace_value, owner_key, owner_value, owner_value_namespaced, warned_uid,
};
use crate::orphans::OrphanEnqueuers;
use crate::start_traces::StartTraces;
use crate::strip;
use crate::unavailable::SharedUnavailableTypes;
use crate::upgrades::{SharedUpgradeQueue, unfinished_value};
use crate::user_configs::UserConfigs;
use crate::warnings::{self, WarningScope};

/// Starts the watches and returns their caches.
///
/// Workloads and Services of other owners are watched too: one of them may have a name that a Workspace needs. An apply
/// would take it over.
pub(crate) fn start(
    runtime: &Runtime,
    tasks: &mut Tasks,
    enqueuer: &Enqueuer,
    orphans: &OrphanEnqueuers,
    settings: &Settings,
    kinds: &[&str],
    traces: StartTraces,
) -> (CacheSource, Caches) {
    let all = watcher::Config::default;
    let ours = || watcher::Config::default().labels(labels::WORKSPACE);
    let workspaces = runtime.watch(all(), strip::workspace);
    let mut machines = runtime.watch(all(), strip::machine);
    let mut node_claims = runtime.watch(all(), strip::node_claim);
    let mut nodes = runtime.watch(all(), strip::node);
    let mut pods = runtime.watch(ours(), strip::pod);
    let mut revisions = runtime.watch(ours(), strip::controller_revision);
    let deployments = runtime.watch(all(), strip::deployment);
    let stateful_sets = runtime.watch(all(), strip::stateful_set);
    let jobs = runtime.watch(all(), strip::job);
    let services = runtime.watch(all(), strip::service);
    let config_maps = runtime.watch(ours(), strip::config_map);
    let network_policies = runtime.watch(all(), strip::network_policy);
    let mut weights_claims = runtime.watch(ours(), strip::volume_claim);
    let scope = WarningScope {
        workspaces: workspaces.cache(),
        pods: pods.cache(),
        node_claims: node_claims.cache(),
        launch_backoffs: SharedLaunchBackoffs::default(),
    };
    let selected = scope.clone();
    let mut warnings = runtime
        .watch(warnings::selection(), warnings::strip)
        .keep_only(move |event| selected.contains(event), warnings::PER_NAMESPACE);
    let source = CacheSource {
        workspaces: workspaces.cache(),
        machines: machines.cache(),
        owned_machines: machines.index(owner_value),
        node_claims: node_claims.cache(),
        owned_node_claims: node_claims.index(owner_value),
        machines_by_namespace: machines.index(namespace_value),
        node_claims_by_namespace: node_claims.index(namespace_value),
        ledger: SharedLedger::new(settings, enqueuer),
        upgrades: SharedUpgradeQueue::new(
            settings,
            enqueuer,
            revisions.index(unfinished_value),
            workspaces.cache(),
        ),
        launch_backoffs: scope.launch_backoffs.clone(),
        unavailable: SharedUnavailableTypes::default(),
        capacity: SharedCapacity::default(),
        nodes: nodes.cache(),
        owned_nodes: nodes.index(owner_value),
        pods: pods.index(owner_value_namespaced),
        revisions: revisions.index(owner_value_namespaced),
        deployments: deployments.cache(),
        stateful_sets: stateful_sets.cache(),
        jobs: jobs.cache(),
        services: services.cache(),
        config_maps: config_maps.cache(),
        user_configs: UserConfigs::new(runtime, enqueuer, &tasks.token()),
        network_policies: network_policies.cache(),
        weights_claims: weights_claims.index(owner_value_namespaced),
        warnings: warnings.index(warned_uid),
    };
    let mut caches = Caches::new()
        .with(&source.workspaces)
        .with(&source.nodes)
        .with(&pods.cache())
        .with(&revisions.cache())
        .with(&source.deployments)
        .with(&source.stateful_sets)
        .with(&source.jobs)
        .with(&source.services)
        .with(&source.config_maps)
        .with(&source.network_policies)
        .with(&weights_claims.cache())
        .with(&warnings.cache());
    let mut start = Starter {
        tasks,
        enqueuer,
        workspaces: source.workspaces.clone(),
        orphans: orphans.clone(),
    };
    start.watch_workspaces(workspaces, &source, traces);
    if kinds.contains(&ClaimKind::Machine.definition()) {
        caches = caches.with(&machines.cache());
        let (unavailable, ledger) = (source.unavailable.clone(), source.ledger.clone());
        start.watch_claims("machines", machines, move |change| {
            unavailable.record(change, operator_runtime::clock::now());
            free(&ledger, change);
        });
    }
    if kinds.contains(&ClaimKind::NodeClaim.definition()) {
        caches = caches.with(&node_claims.cache());
        let (backoffs, ledger) = (source.launch_backoffs.clone(), source.ledger.clone());
        let unavailable = source.unavailable.clone();
        start.watch_claims("nodeclaims", node_claims, move |change| {
            let now = operator_runtime::clock::now();
            backoffs.record(change, now);
            unavailable.record(change, now);
            free(&ledger, change);
        });
    }
    match settings.mode {
        ProvisionerMode::Machine | ProvisionerMode::NodeClaim => {
            start.watch("nodes", nodes, |n| owner_key(n).into_iter().collect());
        }
        ProvisionerMode::Byo => start.watch_for_all("nodes", nodes),
    }
    start.watch("pods", pods, concerned);
    start.watch_revisions(revisions, source.upgrades.clone());
    start.watch("deployments", deployments, concerned);
    start.watch("statefulsets", stateful_sets, concerned);
    start.watch("jobs", jobs, concerned);
    start.watch("services", services, concerned);
    start.watch("configmaps", config_maps, concerned);
    start.watch("networkpolicies", network_policies, concerned);
    start.watch("persistentvolumeclaims", weights_claims, concerned);
    start.watch_warnings(warnings, scope, source.unavailable.clone());
    (source, caches)
}

/// Enqueues the Workspaces that wait for the room of a claim that is gone.
fn free<K: ClaimObject + Watched>(ledger: &SharedLedger, change: &Change<K>) {
    if let (Some(old), None) = (&change.old, &change.new) {
        namespace_value(old.as_ref())
            .iter()
            .for_each(|namespace| ledger.freed(namespace));
    }
}

/// Returns true if nothing was done for the Workspace yet: its claims come before all else.
fn is_new(workspace: &Workspace) -> bool {
    let mut finalizers = workspace.metadata.finalizers.iter().flatten();
    !finalizers.any(|held| held == labels::WORKSPACE_FINALIZER) && !workspace.is_terminating()
}

fn is_owned<K: ClaimObject + Watched>(claim: &K, workspaces: &Cache<Workspace>) -> bool {
    let workspace = owner_key(claim).and_then(|key| workspaces.get(&key));
    let uid = claim
        .meta()
        .labels
        .as_ref()
        .and_then(|all| all.get(labels::WORKSPACE_UID));
    uid.is_none_or(|uid| workspace.is_some_and(|workspace| workspace.uid() == uid))
}

struct Starter<'a> {
    tasks: &'a mut Tasks,
    enqueuer: &'a Enqueuer,
    workspaces: Cache<Workspace>,
    orphans: OrphanEnqueuers,
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
                keys.filter(|key| is_workspace || workspaces.contains(key))
                    .for_each(|key| enqueuer.enqueue(key));
            }),
        );
    }

    /// Runs the watch of Workspaces. One that is gone enqueues its claims too: their collector looks for it.
    fn watch_workspaces(&mut self, watch: Watch<Workspace>, source: &CacheSource, traces: StartTraces) {
        let (enqueuer, orphans) = (self.enqueuer.clone(), self.orphans.clone());
        let user_configs = source.user_configs.clone();
        let (machines, node_claims) = (source.owned_machines.clone(), source.owned_node_claims.clone());
        self.tasks.spawn(
            "workspaces",
            watch.run(self.tasks.token(), move |change: &Change<Workspace>| {
                user_configs.record(&change.key, change.new.as_deref());
                traces.record(change);
                match &change.new {
                    Some(workspace) if is_new(workspace) => enqueuer.enqueue_new(change.key.clone()),
                    _ => enqueuer.enqueue(change.key.clone()),
                }
                let uid = |workspace: &Option<Arc<Workspace>>| {
                    workspace.as_ref().map(|workspace| workspace.uid().to_owned())
                };
                if let Some(old) = &change.old
                    && uid(&change.old) != uid(&change.new)
                {
                    let owner = Key::of(old.as_ref()).to_string();
                    let machines = machines.get(&owner);
                    machines
                        .iter()
                        .for_each(|claim| orphans.machines.enqueue(Key::of(claim.as_ref())));
                    let node_claims = node_claims.get(&owner);
                    node_claims
                        .iter()
                        .for_each(|claim| orphans.node_claims.enqueue(Key::of(claim.as_ref())));
                }
            }),
        );
    }

    /// Runs the watch of warnings, from the time when the Workspaces are known.
    fn watch_warnings(
        &mut self,
        watch: Watch<Event>,
        scope: WarningScope,
        unavailable: SharedUnavailableTypes,
    ) {
        let (enqueuer, token) = (self.enqueuer.clone(), self.tasks.token());
        self.tasks.spawn("events", async move {
            tokio::select! {
                () = scope.workspaces.ready() => {}
                () = token.cancelled() => return Ok(()),
            }
            let enqueue = |change: &Change<Event>| {
                if let Some(event) = &change.new
                    && let Some(offer) = scope.offer_of(event)
                {
                    unavailable.record_event(event, offer, operator_runtime::clock::now());
                }
                let keys = change.both().flat_map(|event| scope.workspaces_of(event));
                keys.for_each(|key| enqueuer.enqueue(key));
            };
            watch.run(token, enqueue).await
        });
    }

    /// Runs the watch of one kind of claim. A change enqueues the Workspace; without one, the collector's key.
    fn watch_claims<K: ClaimObject + Watched>(
        &mut self,
        name: &'static str,
        watch: Watch<K>,
        mut record: impl FnMut(&Change<K>) + Send + 'static,
    ) {
        let (enqueuer, workspaces) = (self.enqueuer.clone(), self.workspaces.clone());
        let orphans = self.orphans.of(K::CLAIM).clone();
        self.tasks.spawn(
            name,
            watch.run(self.tasks.token(), move |change: &Change<K>| {
                record(change);
                let keys = change.both().filter_map(|claim| owner_key(claim.as_ref()));
                keys.filter(|key| workspaces.contains(key))
                    .for_each(|key| enqueuer.enqueue(key));
                if let Some(claim) = &change.new
                    && !is_owned(claim.as_ref(), &workspaces)
                {
                    orphans.enqueue(Key::of(claim.as_ref()));
                }
            }),
        );
    }

    /// Runs the watch of revisions. The end of an automatic upgrade enqueues those that wait, too.
    fn watch_revisions(&mut self, watch: Watch<ControllerRevision>, upgrades: SharedUpgradeQueue) {
        let (enqueuer, workspaces) = (self.enqueuer.clone(), self.workspaces.clone());
        self.tasks.spawn(
            "controllerrevisions",
            watch.run(self.tasks.token(), move |change: &Change<ControllerRevision>| {
                upgrades.record(change);
                let keys = change.both().flat_map(|revision| concerned(revision.as_ref()));
                keys.filter(|key| workspaces.contains(key))
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
