//! Gathers what a plan looks at, from any source that shows the cluster.
//!
//! The product reads its caches and the simulator its view, both through [`Source`]. So a simulated run takes the
//! product's own way from the cluster to [`Observed`].

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kaito_api::capacity::CapacityRecord;
use kaito_api::workspace_status::ModelRevisionSource;
use kaito_api::{Claim, Workspace, labels, names, selector};

use crate::context::PlanContext;
use crate::launch_backoff::LaunchBackoff;
use crate::ledger::{Grant, GrantRequest};
use crate::metadata;
use crate::needs::{self, Needs};
use crate::observed::{Observed, ObservedCapacity, PresetLookup, WeightsClaim, Workloads};
use crate::rung;
use crate::settings::{ProvisionerMode, Settings};
use crate::unavailable::UnavailableType;
use crate::upgrade_queue::{Turn, TurnRequest};
use crate::upgrade_request;
use crate::upgrades::Upgrades;
use crate::user_config::{ConfigLookup, config_to_look_up};
use crate::{claims, workload};

/// Objects of the cluster, as far as the reader knows them.
pub trait Source {
    /// Returns the claims of both kinds whose labels name the Workspace.
    fn claims(&self, namespace: &str, workspace: &str) -> Vec<Claim>;

    /// Returns the claims of both kinds of this name, whatever their labels.
    fn claims_named(&self, name: &str) -> Vec<Claim>;

    /// Asks the ledger of nodes for these claims. Each is granted before it is created.
    fn grant(&self, request: &GrantRequest) -> Grant;

    /// Takes back the grant of a Workspace that needs no claims.
    fn withdraw(&self, namespace: &str, workspace: &str);

    /// Returns the back-offs of the Workspace's claims, by claim name.
    fn launch_backoffs(&self, namespace: &str, workspace: &str) -> BTreeMap<String, LaunchBackoff>;

    /// Returns the offers of instance types that were refused lately.
    fn unavailable_types(&self, now: Timestamp) -> Vec<Arc<UnavailableType>>;

    /// Returns quota and restrictions of the subscription, as they were published last.
    fn capacity(&self) -> Option<Arc<CapacityRecord>>;

    /// Returns all claims of both kinds. It is asked for only if the capacity is known.
    fn all_claims(&self) -> Vec<Claim>;

    /// Returns the Node of this name.
    fn node(&self, name: &str) -> Option<Arc<Node>>;

    /// Returns the Nodes whose labels name the Workspace.
    fn nodes_of(&self, namespace: &str, workspace: &str) -> Vec<Arc<Node>>;

    /// Returns the Nodes that carry all of these labels.
    fn nodes_with_labels(&self, labels: &BTreeMap<String, String>) -> Vec<Arc<Node>>;

    /// Returns the pods of the namespace whose label names the Workspace.
    fn pods(&self, namespace: &str, workspace: &str) -> Vec<Arc<Pod>>;

    /// Returns the revisions of the namespace whose label names the Workspace.
    fn revisions(&self, namespace: &str, workspace: &str) -> Vec<Arc<ControllerRevision>>;

    /// Asks the queue of automatic upgrades for a turn.
    fn upgrade_turn(&self, request: &TurnRequest, now: Timestamp) -> Turn;

    /// Leaves the queue of automatic upgrades.
    fn leave_upgrade_queue(&self, namespace: &str, workspace: &str);

    /// Returns the Deployment of this name.
    fn deployment(&self, namespace: &str, name: &str) -> Option<Arc<Deployment>>;

    /// Returns the StatefulSet of this name.
    fn stateful_set(&self, namespace: &str, name: &str) -> Option<Arc<StatefulSet>>;

    /// Returns the Job of this name.
    fn job(&self, namespace: &str, name: &str) -> Option<Arc<Job>>;

    /// Returns the Service of this name.
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;

    /// Returns the ConfigMap of this name, if we made it.
    fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>>;

    /// Returns the user's ConfigMap of this name. It is kept current as long as a Workspace names it.
    fn user_config(&self, namespace: &str, name: &str) -> ConfigLookup;

    /// Returns the NetworkPolicy of this name.
    fn network_policy(&self, namespace: &str, name: &str) -> Option<Arc<NetworkPolicy>>;

    /// Returns the claims of the namespace for volumes of weights whose label names the Workspace.
    fn weights_claims(&self, namespace: &str, workspace: &str) -> Vec<Arc<PersistentVolumeClaim>>;

    /// Returns the Events about the object of this UID whose reason is one of [`crate::WARNINGS`].
    fn warnings(&self, uid: &str) -> Vec<Arc<Event>>;
}

/// Name of the preset to look up before a Workspace is observed.
///
/// A terminating Workspace needs none, so a registry that is down cannot delay its deletion.
#[must_use]
pub fn preset_to_look_up(workspace: &Workspace) -> Option<&str> {
    workspace.preset_name().filter(|_| !workspace.is_terminating())
}

/// Gathers everything about one Workspace.
#[must_use]
pub fn observe(
    source: &impl Source,
    workspace: Arc<Workspace>,
    preset: PresetLookup,
    now: Timestamp,
    settings: &Settings,
) -> Observed {
    let (namespace, name) = (workspace.namespace(), workspace.name());
    // Claims of both kinds, whichever is configured: every node that was requested must be given back.
    let all_claims = source.claims(namespace, name);
    let nodes = match settings.mode {
        ProvisionerMode::Machine | ProvisionerMode::NodeClaim => {
            nodes_of(source, namespace, name, &all_claims)
        }
        ProvisionerMode::Byo => source.nodes_with_labels(&selected_labels(&workspace)),
    };
    let workloads = workloads(source, namespace, name);
    let pods = source.pods(namespace, name);
    let launch_backoffs = source.launch_backoffs(namespace, name);
    let weights_claims = weights_claims(source, namespace, name);
    let mut observed = Observed {
        preset,
        model_source: ModelRevisionSource::default(),
        config: match config_to_look_up(&workspace) {
            Some(config) => source.user_config(namespace, config),
            None => ConfigLookup::NotNeeded,
        },
        same_named: Vec::new(),
        nodes,
        warnings: warnings(source, &workloads, &pods, &weights_claims, &launch_backoffs),
        workloads,
        revisions: source.revisions(namespace, name),
        pods,
        weights_claims,
        launch_backoffs,
        unavailable: if rung::names_several(&workspace) {
            source.unavailable_types(now)
        } else {
            Vec::new()
        },
        capacity: None,
        claims: all_claims,
        grant: Grant::Granted,
        turn: Turn::None,
        workspace,
    }
    .at_fixed_commit();
    observed.capacity = capacity(source, &observed, now, settings);
    match needs::of(now, &observed, settings) {
        Needs::Claims(request) => {
            let names = request.claims.iter();
            observed.same_named = names
                .flat_map(|name| source.claims_named(name))
                .filter(|claim| !observed.claims.contains(claim))
                .collect();
            if !settings.ceilings.are_off() {
                observed.grant = source.grant(&request);
            }
        }
        Needs::Nothing => source.withdraw(observed.workspace.namespace(), observed.workspace.name()),
        Needs::Unknown => {}
    }
    if settings.upgrades != Upgrades::Manual {
        observed.turn = match upgrade_request::of(&PlanContext::new(now, &observed, settings)) {
            Some(request) => source.upgrade_turn(&request, now),
            None => {
                let workspace = &observed.workspace;
                source.leave_upgrade_queue(workspace.namespace(), workspace.name());
                Turn::None
            }
        };
    }
    observed
}

impl Observed {
    /// Reports whether the claims must be listed from the API server before planning.
    ///
    /// A terminating Workspace without claims is released. A claim that the cache does not show yet would then stay
    /// for ever.
    #[must_use]
    pub fn needs_live_claims(&self) -> bool {
        self.workspace.is_terminating() && self.claims.is_empty()
    }
}

/// Returns quota and restrictions for a Workspace that may still ask for nodes. Those of our provisioner's subscription say
/// nothing about the nodes of a Karpenter.
fn capacity(
    source: &impl Source,
    observed: &Observed,
    now: Timestamp,
    settings: &Settings,
) -> Option<ObservedCapacity> {
    let is_served = match settings.mode {
        ProvisionerMode::Machine => true,
        ProvisionerMode::NodeClaim => settings.node_claims.class.is_kaito(),
        ProvisionerMode::Byo => false,
    };
    let workspace = &observed.workspace;
    let has_workload = workload::current(&observed.workloads, workspace.uid()).is_some();
    if !is_served || has_workload || workspace.is_terminating() {
        return None;
    }
    let record = source.capacity().filter(|record| record.is_current(now))?;
    let all = source.all_claims();
    let is_other = |claim: &&Claim| {
        metadata::is_live(claim.metadata()) && claims::owner_uid(claim) != Some(workspace.uid())
    };
    let waiting = record.waiting(all.iter().filter(is_other));
    Some(ObservedCapacity { record, waiting })
}

fn nodes_of(source: &impl Source, namespace: &str, workspace: &str, claims: &[Claim]) -> Vec<Arc<Node>> {
    let named = claims.iter().filter_map(|claim| source.node(claim.node_name()));
    let labeled = source.nodes_of(namespace, workspace);
    let all: BTreeMap<String, Arc<Node>> = labeled
        .into_iter()
        .chain(named)
        .map(|node| (node.metadata.name.clone().unwrap_or_default(), node))
        .collect();
    all.into_values().collect()
}

fn weights_claims(source: &impl Source, namespace: &str, workspace: &str) -> Vec<WeightsClaim> {
    let claims = source.weights_claims(namespace, workspace).into_iter();
    let observed = claims.map(|claim| {
        let name = metadata::annotation(&claim.metadata, labels::SELECTED_NODE);
        let node = name.and_then(|name| source.node(name));
        let made = claim.metadata.creation_timestamp.as_ref();
        let is_younger = |node: &Node| node.metadata.creation_timestamp.as_ref() > made;
        let node_is_gone = name.is_some() && node.is_none_or(|node| is_younger(&node));
        WeightsClaim { claim, node_is_gone }
    });
    observed.collect()
}

fn selected_labels(workspace: &Workspace) -> BTreeMap<String, String> {
    let resource = workspace.spec.resource.as_ref();
    resource
        .map(|resource| selector::labels(&resource.label_selector))
        .unwrap_or_default()
}

/// Returns the warnings about these objects. A Deployment's pods are created by a ReplicaSet, whose failure is a
/// condition of the Deployment.
fn warnings(
    source: &impl Source,
    workloads: &Workloads,
    pods: &[Arc<Pod>],
    volumes: &[WeightsClaim],
    lost: &BTreeMap<String, LaunchBackoff>,
) -> Vec<Arc<Event>> {
    let sets = workloads.stateful_set.iter().map(|object| &object.metadata);
    let jobs = workloads.job.iter().map(|object| &object.metadata);
    let pods = pods.iter().map(|object| &object.metadata);
    let uids = sets
        .chain(jobs)
        .chain(pods)
        .chain(volumes.iter().map(|volume| &volume.claim.metadata))
        .filter_map(|metadata| metadata.uid.as_deref());
    let lost = lost.values().map(|claim| claim.uid.as_str());
    let uids = uids.chain(lost).filter(|uid| !uid.is_empty());
    uids.flat_map(|uid| source.warnings(uid)).collect()
}

fn workloads(source: &impl Source, namespace: &str, name: &str) -> Workloads {
    Workloads {
        deployment: source.deployment(namespace, name),
        stateful_set: source.stateful_set(namespace, name),
        job: source.job(namespace, name),
        service: source.service(namespace, name),
        headless_service: source.service(namespace, &names::headless_service(name)),
        tuning_config: source.config_map(namespace, &names::tuning_config(name)),
        network_policy: source.network_policy(namespace, &names::network_policy(name)),
    }
}
