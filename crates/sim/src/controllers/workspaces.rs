//! The workspace controller's shell: caches, the presets it knows, and back-offs. It observes by the product's code.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kaito_api::capacity::CapacityRecord;
use kaito_api::labels::{WORKSPACE, WORKSPACE_NAMESPACE};
use kaito_api::{Claim, ClaimKind};
use plan::{Kind, ObjectRef, PendingWrites};
use workspace_plan::{
    ClaimOwner, ConfigLookup, Grant, GrantRequest, LaunchBackoff, LaunchBackoffs, Observed, ObservedClaim,
    Offer, OrphanMemory, Ownership, Settings, Source, SpendLedger, Turn, TurnRequest, UnavailableType,
    UnavailableTypes, UnfinishedUpgrade, UpgradeQueue, Upgrades, Wake,
};

use super::Program;
use super::presets::{Presets, SimRegistry};
use crate::api_server::{ApiServer, key};
use crate::json;
use crate::view::{Change, Typed, View};

/// The ConfigMap with quota and restrictions. Its namespace is that of the Workspaces, so that its changes enqueue them.
pub const CAPACITY_CONFIG_MAP: (&str, &str) = ("default", "kaito-capacity");

/// The shell and everything that a restart loses.
#[derive(Clone, Debug)]
pub struct Workspaces {
    /// Settings of the planner.
    pub settings: Settings,
    /// Its caches.
    pub view: View,
    /// Answers of the registry.
    pub presets: Presets,
    /// Failed launches.
    pub launch_backoffs: LaunchBackoffs,
    /// Instance types that cannot be had.
    pub unavailable: UnavailableTypes,
    /// Claims without a Workspace.
    pub orphans: OrphanMemory,
    /// The ledger of nodes.
    pub ledger: SpendLedger,
    /// The queue of automatic upgrades.
    pub upgrades: UpgradeQueue,
    /// Workspaces for which room appeared, or whose turn it may be.
    pub wakes: Vec<Wake>,
    /// Its own writes that the caches do not show yet.
    pub pending_writes: PendingWrites<ObjectRef, Timestamp>,
    /// Failed reconciles in a row, by object.
    pub failures: BTreeMap<ObjectRef, u32>,
}

impl Workspaces {
    /// Returns a freshly started program.
    #[must_use]
    pub fn start(settings: Settings, api: &ApiServer) -> Self {
        Self {
            settings,
            view: View::listed(api, Program::Workspaces.kinds()),
            presets: Presets::default(),
            launch_backoffs: LaunchBackoffs::default(),
            unavailable: UnavailableTypes::default(),
            orphans: OrphanMemory::default(),
            ledger: SpendLedger::default(),
            upgrades: UpgradeQueue::default(),
            wakes: Vec::new(),
            pending_writes: PendingWrites::default(),
            failures: BTreeMap::new(),
        }
    }

    /// Records failed launches, claims that are gone, and upgrades that have ended, as the watches show them.
    pub fn record_changes(&mut self, changes: &[Change], now: Timestamp) {
        for change in changes {
            let is_unfinished = |object: &Option<Typed>| match object {
                Some(Typed::ControllerRevision(revision)) => UnfinishedUpgrade::of(revision).is_some(),
                _ => false,
            };
            if is_unfinished(&change.old) && !is_unfinished(&change.new) {
                self.wakes.extend(self.upgrades.freed());
            }
            let claim = |object: &Option<Typed>| match object {
                Some(Typed::NodeClaim(claim)) => Some(Arc::clone(claim)),
                _ => None,
            };
            let (old, new) = (claim(&change.old), claim(&change.new));
            self.launch_backoffs.record(old.as_deref(), new.as_deref(), now);
            let (old, new) = (any_claim(&change.old), any_claim(&change.new));
            self.unavailable.record(old.as_ref(), new.as_ref(), now);
            if let Some(Typed::Event(event)) = &change.new
                && let Some(offer) = self.offer_of(event)
            {
                self.unavailable.record_event(event, offer, now);
            }
            if change.new.is_none()
                && let Some(Typed::NodeClaim(_) | Typed::Machine(_)) = &change.old
            {
                let labels = change.old.as_ref().and_then(|old| old.metadata().labels.as_ref());
                let namespace = labels.and_then(|labels| labels.get(WORKSPACE_NAMESPACE));
                let wakes = namespace.map_or_else(Vec::new, |namespace| self.ledger.freed(namespace));
                self.wakes.extend(wakes);
            }
        }
    }

    fn offer_of(&self, event: &Event) -> Option<Offer> {
        let about = &event.involved_object;
        let uid = about
            .uid
            .as_deref()
            .filter(|_| about.kind.as_deref() == Some("NodeClaim"))?;
        let mut claims = self.view.claims_named(about.name.as_deref()?).into_iter();
        let claim = claims.find(|claim| claim.uid() == uid);
        let offer = claim.and_then(|claim| Offer::of(&claim));
        offer.or_else(|| self.launch_backoffs.offer_of(uid))
    }

    /// Gathers everything about one Workspace; `None` if the cache does not contain it.
    pub fn observe(
        &mut self,
        key: &ObjectRef,
        now: Timestamp,
        registry: &SimRegistry,
        api: &ApiServer,
    ) -> Option<Observed> {
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let Some(workspace) = self.view.workspace(namespace, &key.name) else {
            let wakes = self.ledger.withdraw(namespace, &key.name, elapsed(now));
            self.wakes.extend(wakes);
            self.wakes.extend(self.upgrades.withdraw(namespace, &key.name));
            return None;
        };
        let preset = self
            .presets
            .lookup(registry, workspace_plan::preset_to_look_up(&workspace), now);
        let caches = Caches {
            view: &self.view,
            launch_backoffs: &self.launch_backoffs,
            unavailable: &self.unavailable,
            settings: &self.settings,
            now: elapsed(now),
            ledger: RefCell::new((&mut self.ledger, &mut self.wakes)),
            upgrades: RefCell::new((&mut self.upgrades, Vec::new())),
        };
        let mut observed = workspace_plan::observe(&caches, workspace, preset, now, &self.settings);
        let (_, wakes) = caches.upgrades.into_inner();
        self.wakes.extend(wakes);
        if observed.needs_live_claims() {
            let live = View::listed(api, &[Kind::Machine, Kind::NodeClaim]);
            observed.claims = claims_of(&live, namespace, &key.name);
        }
        Some(observed)
    }

    /// Gathers what the collector of orphaned claims looks at; `None` if the cache does not contain the claim.
    pub fn observe_claim(
        &mut self,
        key: &ObjectRef,
        now: Timestamp,
        api: &ApiServer,
    ) -> Option<ObservedClaim> {
        let claims = self.view.claims_named(&key.name);
        let found = claims
            .into_iter()
            .find(|claim| Kind::from(claim.claim_kind()) == key.kind);
        let Some(claim) = found else {
            let kinds = ClaimKind::ALL.into_iter();
            let kind = kinds.into_iter().find(|kind| Kind::from(*kind) == key.kind)?;
            self.orphans.forget(kind, &key.name);
            return None;
        };
        let ownership = self.ownership(&claim, elapsed(now), api);
        Some(ObservedClaim { claim, ownership })
    }

    fn ownership(&mut self, claim: &Claim, now: Duration, api: &ApiServer) -> Ownership {
        let Some(owner) = ClaimOwner::of(claim) else {
            return Ownership::Owned;
        };
        let cached = self.view.workspace(owner.namespace, owner.name);
        let exists = cached.is_some_and(|workspace| workspace.uid() == owner.uid);
        if let Some(ownership) = self.orphans.record(claim, exists, now) {
            return ownership;
        }
        let workspace = key(Kind::Workspace, owner.namespace, owner.name);
        let live = api.get(&workspace);
        let exists = live.is_some_and(|value| json::text(value, &["metadata", "uid"]) == owner.uid);
        self.orphans.confirm(claim, exists, now)
    }
}

struct Caches<'a> {
    view: &'a View,
    launch_backoffs: &'a LaunchBackoffs,
    unavailable: &'a UnavailableTypes,
    settings: &'a Settings,
    now: Duration,
    ledger: RefCell<(&'a mut SpendLedger, &'a mut Vec<Wake>)>,
    upgrades: RefCell<(&'a mut UpgradeQueue, Vec<Wake>)>,
}

impl Source for Caches<'_> {
    fn claims(&self, namespace: &str, workspace: &str) -> Vec<Claim> {
        claims_of(self.view, namespace, workspace)
    }

    fn claims_named(&self, name: &str) -> Vec<Claim> {
        self.view.claims_named(name)
    }

    fn grant(&self, request: &GrantRequest) -> Grant {
        let in_namespace =
            |claim: &Claim| label(&claim.metadata().labels, WORKSPACE_NAMESPACE) == Some(&request.namespace);
        let existing: Vec<Claim> = self.view.claims().filter(in_namespace).collect();
        let (ledger, wakes) = &mut *self.ledger.borrow_mut();
        let (grant, more) = ledger.request(self.settings, request, &existing, self.now);
        wakes.extend(more);
        grant
    }

    fn withdraw(&self, namespace: &str, workspace: &str) {
        let (ledger, wakes) = &mut *self.ledger.borrow_mut();
        wakes.extend(ledger.withdraw(namespace, workspace, self.now));
    }

    fn launch_backoffs(&self, namespace: &str, workspace: &str) -> BTreeMap<String, LaunchBackoff> {
        self.launch_backoffs.of(namespace, workspace)
    }

    fn unavailable_types(&self, now: Timestamp) -> Vec<Arc<UnavailableType>> {
        self.unavailable.all(now)
    }

    fn capacity(&self) -> Option<Arc<CapacityRecord>> {
        let (namespace, name) = CAPACITY_CONFIG_MAP;
        let published = self.view.config_map(namespace, name)?;
        CapacityRecord::parse(published.data.as_ref()?).ok().map(Arc::new)
    }

    fn all_claims(&self) -> Vec<Claim> {
        self.view.claims().collect()
    }

    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.view.node("", name)
    }

    fn nodes_of(&self, namespace: &str, workspace: &str) -> Vec<Arc<Node>> {
        self.view
            .nodes()
            .filter(|node| is_of(&node.metadata.labels, namespace, workspace))
            .map(Arc::clone)
            .collect()
    }

    fn nodes_with_labels(&self, labels: &BTreeMap<String, String>) -> Vec<Arc<Node>> {
        let has_all = |node: &&Arc<Node>| {
            labels
                .iter()
                .all(|(key, value)| label(&node.metadata.labels, key) == Some(value))
        };
        self.view.nodes().filter(has_all).map(Arc::clone).collect()
    }

    fn pods(&self, namespace: &str, workspace: &str) -> Vec<Arc<Pod>> {
        let is_own = |pod: &&Arc<Pod>| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && label(&pod.metadata.labels, WORKSPACE).is_some_and(|name| name == workspace)
        };
        self.view.pods().filter(is_own).map(Arc::clone).collect()
    }

    fn revisions(&self, namespace: &str, workspace: &str) -> Vec<Arc<ControllerRevision>> {
        let is_own = |revision: &&Arc<ControllerRevision>| {
            revision.metadata.namespace.as_deref() == Some(namespace)
                && label(&revision.metadata.labels, WORKSPACE).is_some_and(|name| name == workspace)
        };
        self.view
            .controller_revisions()
            .filter(is_own)
            .map(Arc::clone)
            .collect()
    }

    fn upgrade_turn(&self, request: &TurnRequest, now: Timestamp) -> Turn {
        let Upgrades::Automatic(settings) = &self.settings.upgrades else {
            return Turn::None;
        };
        let all = self.view.controller_revisions();
        let all = all.filter_map(|revision| UnfinishedUpgrade::of(revision));
        let unfinished = all.filter(|upgrade| {
            let workspace = self.view.workspace(&upgrade.namespace, &upgrade.workspace);
            workspace.is_some_and(|workspace| workspace.uid() == upgrade.uid && !workspace.is_terminating())
        });
        let unfinished: Vec<UnfinishedUpgrade> = unfinished.collect();
        self.upgrades
            .borrow_mut()
            .0
            .request(settings, request, &unfinished, now)
    }

    fn leave_upgrade_queue(&self, namespace: &str, workspace: &str) {
        let (queue, wakes) = &mut *self.upgrades.borrow_mut();
        wakes.extend(queue.withdraw(namespace, workspace));
    }

    fn deployment(&self, namespace: &str, name: &str) -> Option<Arc<Deployment>> {
        self.view.deployment(namespace, name)
    }

    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSet>> {
        self.view.stateful_set(namespace, name)
    }

    fn job(&self, namespace: &str, name: &str) -> Option<Arc<Job>> {
        self.view.job(namespace, name)
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.view.service(namespace, name)
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>> {
        self.view.config_map(namespace, name)
    }

    fn user_config(&self, namespace: &str, name: &str) -> ConfigLookup {
        match self.view.config_map(namespace, name) {
            Some(found) => {
                let mut found = ConfigMap::clone(&found);
                workspace_plan::strip_user_config(&mut found);
                ConfigLookup::Found(Arc::new(found))
            }
            None => ConfigLookup::Missing,
        }
    }

    fn network_policy(&self, namespace: &str, name: &str) -> Option<Arc<NetworkPolicy>> {
        self.view.network_policy(namespace, name)
    }

    fn weights_claims(&self, namespace: &str, workspace: &str) -> Vec<Arc<PersistentVolumeClaim>> {
        let is_of = |claim: &&Arc<PersistentVolumeClaim>| {
            let metadata = &claim.metadata;
            metadata.namespace.as_deref() == Some(namespace)
                && label(&metadata.labels, WORKSPACE).is_some_and(|found| found == workspace)
        };
        self.view.volume_claims().filter(is_of).map(Arc::clone).collect()
    }

    fn warnings(&self, uid: &str) -> Vec<Arc<Event>> {
        let is_about = |event: &&Arc<Event>| event.involved_object.uid.as_deref() == Some(uid);
        self.view.events().filter(is_about).map(Arc::clone).collect()
    }
}

fn any_claim(object: &Option<Typed>) -> Option<Claim> {
    match object {
        Some(Typed::Machine(machine)) => Some(Arc::clone(machine).into()),
        Some(Typed::NodeClaim(claim)) => Some(Arc::clone(claim).into()),
        _ => None,
    }
}

fn elapsed(now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
}

fn claims_of(view: &View, namespace: &str, workspace: &str) -> Vec<Claim> {
    view.claims()
        .filter(|claim| is_of(&claim.metadata().labels, namespace, workspace))
        .collect()
}

fn label<'a>(labels: &'a Option<BTreeMap<String, String>>, key: &str) -> Option<&'a String> {
    labels.as_ref().and_then(|labels| labels.get(key))
}

fn is_of(labels: &Option<BTreeMap<String, String>>, namespace: &str, workspace: &str) -> bool {
    label(labels, WORKSPACE).is_some_and(|found| found == workspace)
        && label(labels, WORKSPACE_NAMESPACE).is_some_and(|found| found == namespace)
}
