//! The program's caches as a [`Source`] for `workspace_plan::observe`, and the keys that its watches enqueue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kaito_api::capacity::CapacityRecord;
use kaito_api::{Claim, Machine, NodeClaim, Workspace, labels};
use kube::{Resource, ResourceExt as _};
use operator_runtime::{Cache, Index, Key};
use workspace_plan::{
    ConfigLookup, Grant, GrantRequest, LaunchBackoff, Source, Turn, TurnRequest, UnavailableType,
};

use crate::capacity::SharedCapacity;
use crate::launch_backoff::SharedLaunchBackoffs;
use crate::ledger::SharedLedger;
use crate::unavailable::SharedUnavailableTypes;
use crate::upgrades::SharedUpgradeQueue;
use crate::user_configs::UserConfigs;

/// Caches of every kind that a plan for a Workspace looks at.
#[derive(Clone, Debug)]
pub(crate) struct CacheSource {
    pub(crate) workspaces: Cache<Workspace>,
    pub(crate) machines: Cache<Machine>,
    /// By [`owner_value`].
    pub(crate) owned_machines: Index<Machine>,
    pub(crate) node_claims: Cache<NodeClaim>,
    /// By [`owner_value`].
    pub(crate) owned_node_claims: Index<NodeClaim>,
    /// By [`namespace_value`].
    pub(crate) machines_by_namespace: Index<Machine>,
    /// By [`namespace_value`].
    pub(crate) node_claims_by_namespace: Index<NodeClaim>,
    pub(crate) ledger: SharedLedger,
    pub(crate) upgrades: SharedUpgradeQueue,
    pub(crate) launch_backoffs: SharedLaunchBackoffs,
    pub(crate) unavailable: SharedUnavailableTypes,
    pub(crate) capacity: SharedCapacity,
    pub(crate) nodes: Cache<Node>,
    /// By [`owner_value`].
    pub(crate) owned_nodes: Index<Node>,
    /// By [`owner_value_namespaced`].
    pub(crate) pods: Index<Pod>,
    /// By [`owner_value_namespaced`].
    pub(crate) revisions: Index<ControllerRevision>,
    pub(crate) deployments: Cache<Deployment>,
    pub(crate) stateful_sets: Cache<StatefulSet>,
    pub(crate) jobs: Cache<Job>,
    pub(crate) services: Cache<Service>,
    /// Those that we made.
    pub(crate) config_maps: Cache<ConfigMap>,
    pub(crate) user_configs: UserConfigs,
    pub(crate) network_policies: Cache<NetworkPolicy>,
    /// By [`owner_value_namespaced`].
    pub(crate) weights_claims: Index<PersistentVolumeClaim>,
    /// By [`warned_uid`].
    pub(crate) warnings: Index<Event>,
}

impl Source for CacheSource {
    fn claims(&self, namespace: &str, workspace: &str) -> Vec<Claim> {
        let owner = index_value(namespace, workspace);
        let machines = self.owned_machines.get(&owner).into_iter().map(Claim::from);
        let node_claims = self.owned_node_claims.get(&owner).into_iter().map(Claim::from);
        machines.chain(node_claims).collect()
    }

    fn claims_named(&self, name: &str) -> Vec<Claim> {
        let key = Key::cluster(name);
        let machine = self.machines.get(&key).map(Claim::from);
        let node_claim = self.node_claims.get(&key).map(Claim::from);
        machine.into_iter().chain(node_claim).collect()
    }

    fn grant(&self, request: &GrantRequest) -> Grant {
        self.ledger.grant(request, || {
            let namespace = &request.namespace;
            let machines = self.machines_by_namespace.get(namespace).into_iter();
            let node_claims = self.node_claims_by_namespace.get(namespace).into_iter();
            machines
                .map(Claim::from)
                .chain(node_claims.map(Claim::from))
                .collect()
        })
    }

    fn withdraw(&self, namespace: &str, workspace: &str) {
        self.ledger.withdraw(namespace, workspace);
    }

    fn launch_backoffs(&self, namespace: &str, workspace: &str) -> BTreeMap<String, LaunchBackoff> {
        self.launch_backoffs.of(namespace, workspace)
    }

    fn unavailable_types(&self, now: Timestamp) -> Vec<Arc<UnavailableType>> {
        self.unavailable.all(now)
    }

    fn capacity(&self) -> Option<Arc<CapacityRecord>> {
        self.capacity.get()
    }

    fn all_claims(&self) -> Vec<Claim> {
        let machines = self.machines.all().into_iter().map(Claim::from);
        machines
            .chain(self.node_claims.all().into_iter().map(Claim::from))
            .collect()
    }

    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.get(&Key::cluster(name))
    }

    fn nodes_of(&self, namespace: &str, workspace: &str) -> Vec<Arc<Node>> {
        self.owned_nodes.get(&index_value(namespace, workspace))
    }

    fn nodes_with_labels(&self, labels: &BTreeMap<String, String>) -> Vec<Arc<Node>> {
        self.nodes.filter(|node| {
            let found = node.labels();
            labels.iter().all(|(key, value)| found.get(key) == Some(value))
        })
    }

    fn pods(&self, namespace: &str, workspace: &str) -> Vec<Arc<Pod>> {
        self.pods.get(&index_value(namespace, workspace))
    }

    fn revisions(&self, namespace: &str, workspace: &str) -> Vec<Arc<ControllerRevision>> {
        self.revisions.get(&index_value(namespace, workspace))
    }

    fn upgrade_turn(&self, request: &TurnRequest, now: Timestamp) -> Turn {
        self.upgrades.turn(request, now)
    }

    fn leave_upgrade_queue(&self, namespace: &str, workspace: &str) {
        self.upgrades.withdraw(namespace, workspace);
    }

    fn deployment(&self, namespace: &str, name: &str) -> Option<Arc<Deployment>> {
        self.deployments.get(&Key::namespaced(namespace, name))
    }

    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSet>> {
        self.stateful_sets.get(&Key::namespaced(namespace, name))
    }

    fn job(&self, namespace: &str, name: &str) -> Option<Arc<Job>> {
        self.jobs.get(&Key::namespaced(namespace, name))
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(&Key::namespaced(namespace, name))
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>> {
        self.config_maps.get(&Key::namespaced(namespace, name))
    }

    fn user_config(&self, namespace: &str, name: &str) -> ConfigLookup {
        self.user_configs.lookup(namespace, name)
    }

    fn network_policy(&self, namespace: &str, name: &str) -> Option<Arc<NetworkPolicy>> {
        self.network_policies.get(&Key::namespaced(namespace, name))
    }

    fn weights_claims(&self, namespace: &str, workspace: &str) -> Vec<Arc<PersistentVolumeClaim>> {
        self.weights_claims.get(&index_value(namespace, workspace))
    }

    fn warnings(&self, uid: &str) -> Vec<Arc<Event>> {
        self.warnings.get(uid)
    }
}

fn index_value(namespace: &str, workspace: &str) -> String {
    format!("{namespace}/{workspace}")
}

/// Index value of a cluster-scoped object: the Workspace that its labels name.
pub(crate) fn owner_value<K: Resource>(object: &K) -> Vec<String> {
    owner_key(object).map(|key| key.to_string()).into_iter().collect()
}

/// Index value of a claim: the namespace of its Workspace.
pub(crate) fn namespace_value<K: Resource>(object: &K) -> Vec<String> {
    owner_key(object)
        .and_then(|key| key.namespace)
        .into_iter()
        .collect()
}

/// Index value of a namespaced object: the Workspace that its label names.
pub(crate) fn owner_value_namespaced<K: Resource>(object: &K) -> Vec<String> {
    let workspace = object.labels().get(labels::WORKSPACE);
    let namespace = object.namespace().unwrap_or_default();
    workspace
        .map(|workspace| index_value(&namespace, workspace))
        .into_iter()
        .collect()
}

/// Index value of a warning: the UID of the object that it is about.
pub(crate) fn warned_uid(event: &Event) -> Vec<String> {
    event.involved_object.uid.iter().cloned().collect()
}

/// The Workspace that a cluster-scoped object's labels name.
pub(crate) fn owner_key<K: Resource>(object: &K) -> Option<Key> {
    let labels = object.labels();
    let namespace = labels.get(labels::WORKSPACE_NAMESPACE)?;
    Some(Key::namespaced(
        namespace.clone(),
        labels.get(labels::WORKSPACE)?.clone(),
    ))
}

/// The Workspaces that a namespaced object may concern: the one that its label names, and the one of its name.
///
/// An object of another owner matters too: it takes a name that a Workspace needs.
pub(crate) fn concerned<K: Resource>(object: &K) -> BTreeSet<Key> {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let labeled = object.labels().get(labels::WORKSPACE).cloned();
    let base = ["-headless", "-kaito"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix));
    labeled
        .into_iter()
        .chain(base.map(str::to_owned))
        .chain([name])
        .map(|name| Key::namespaced(namespace.clone(), name))
        .collect()
}
