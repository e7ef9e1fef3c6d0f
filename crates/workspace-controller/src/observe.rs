//! What is known of a Workspace and everything that belongs to it, read from stores alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::lost::LostClaims;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use kaito_api::{Claim, Machine, NodeClaim, Workspace, labels, names, selector};
use kube::{Resource, ResourceExt as _};
use operator_runtime::{Index, Key, Store};
use workspace_plan::{Observed, PresetLookup, ProvisionerMode, Workloads};

/// Stores of everything a decision about a Workspace looks at.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Workspaces.
    pub workspaces: Store<Workspace>,
    /// Machines by [`owner_value`].
    pub machines: Index<Machine>,
    /// NodeClaims by [`owner_value`].
    pub node_claims: Index<NodeClaim>,
    /// NodeClaims that went away too early.
    pub lost: LostClaims,
    /// Nodes.
    pub nodes: Store<Node>,
    /// Nodes by [`owner_value`].
    pub owned_nodes: Index<Node>,
    /// Pods by [`owner_value_namespaced`].
    pub pods: Index<Pod>,
    /// Deployments.
    pub deployments: Store<Deployment>,
    /// StatefulSets.
    pub stateful_sets: Store<StatefulSet>,
    /// Jobs.
    pub jobs: Store<Job>,
    /// Services.
    pub services: Store<Service>,
    /// ConfigMaps that we made.
    pub config_maps: Store<ConfigMap>,
}

impl Stores {
    /// Everything about one Workspace.
    #[must_use]
    pub fn observe(
        &self,
        workspace: Arc<Workspace>,
        preset: PresetLookup,
        mode: ProvisionerMode,
    ) -> Observed {
        let namespace = workspace.namespace().unwrap_or_default();
        let name = workspace.name_any();
        let owner = format!("{namespace}/{name}");
        let claims = self.claims(&owner);
        let nodes = match mode {
            ProvisionerMode::Machine | ProvisionerMode::NodeClaim => self.nodes_of(&owner, &claims),
            ProvisionerMode::Byo => self.nodes_matching(&workspace),
        };
        Observed {
            preset,
            nodes,
            workloads: self.workloads(&namespace, &name),
            pods: self.pods.get(&owner),
            lost: self.lost.of(&owner),
            claims,
            workspace,
        }
    }

    // Of both kinds, whichever is made now: what was asked for once has to be given back.
    fn claims(&self, owner: &str) -> Vec<Claim> {
        let machines = self.machines.get(owner).into_iter().map(Claim::from);
        let node_claims = self.node_claims.get(owner).into_iter().map(Claim::from);
        machines.chain(node_claims).collect()
    }

    fn nodes_of(&self, owner: &str, claims: &[Claim]) -> Vec<Arc<Node>> {
        let named = claims
            .iter()
            .filter_map(|claim| self.nodes.get(&Key::cluster(claim.node_name())));
        let all: BTreeMap<String, Arc<Node>> = self
            .owned_nodes
            .get(owner)
            .into_iter()
            .chain(named)
            .map(|node| (node.name_any(), node))
            .collect();
        all.into_values().collect()
    }

    fn nodes_matching(&self, workspace: &Workspace) -> Vec<Arc<Node>> {
        let wanted = workspace
            .spec
            .resource
            .as_ref()
            .map(|r| selector::labels(&r.label_selector))
            .unwrap_or_default();
        self.nodes.filter(|node| {
            wanted
                .iter()
                .all(|(key, value)| node.labels().get(key) == Some(value))
        })
    }

    fn workloads(&self, namespace: &str, name: &str) -> Workloads {
        let key = Key::namespaced(namespace, name);
        Workloads {
            deployment: self.deployments.get(&key),
            stateful_set: self.stateful_sets.get(&key),
            job: self.jobs.get(&key),
            service: self.services.get(&key),
            headless_service: self
                .services
                .get(&Key::namespaced(namespace, names::headless_service(name))),
            tuning_config: self
                .config_maps
                .get(&Key::namespaced(namespace, names::tuning_config(name))),
        }
    }
}

/// `namespace/name` of the Workspace that a cluster-scoped object's labels name.
#[must_use]
pub fn owner_value<K: Resource>(object: &K) -> Vec<String> {
    owner_key(object).map(|key| key.to_string()).into_iter().collect()
}

/// `namespace/name` of the Workspace that a namespaced object's label names.
#[must_use]
pub fn owner_value_namespaced<K: Resource>(object: &K) -> Vec<String> {
    let name = object.labels().get(labels::WORKSPACE);
    name.map(|name| format!("{}/{name}", object.namespace().unwrap_or_default()))
        .into_iter()
        .collect()
}

/// The Workspace that a cluster-scoped object's labels name.
pub fn owner_key<K: Resource>(object: &K) -> Option<Key> {
    let labels = object.labels();
    let namespace = labels.get(labels::WORKSPACE_NAMESPACE)?;
    Some(Key::namespaced(
        namespace.clone(),
        labels.get(labels::WORKSPACE)?.clone(),
    ))
}

/// The Workspaces that a namespaced object may concern: the one its label names, and the one of its name.
#[must_use]
pub fn concerned<K: Resource>(object: &K) -> BTreeSet<Key> {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let labelled = object.labels().get(labels::WORKSPACE).cloned();
    let base = name.strip_suffix("-headless").map(str::to_owned);
    labelled
        .into_iter()
        .chain(base)
        .chain([name])
        .map(|name| Key::namespaced(namespace.clone(), name))
        .collect()
}
