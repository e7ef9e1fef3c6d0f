//! Everything that a plan for one Workspace may look at. Absence and failure are data.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kaito_api::capacity::CapacityRecord;
use kaito_api::shortage::WaitingVcpus;
use kaito_api::workspace_status::ModelRevisionSource;
use kaito_api::{Claim, Workspace};
use preset_catalog::Preset;

use crate::launch_backoff::LaunchBackoff;
use crate::ledger::Grant;
use crate::unavailable::UnavailableType;
use crate::upgrade_queue::Turn;
use crate::user_config::ConfigLookup;

/// One Workspace and its surroundings.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Workspace.
    pub workspace: Arc<Workspace>,
    /// Answer of the preset registry about the preset that the Workspace names.
    pub preset: PresetLookup,
    /// Origin of the commit that this preset has.
    pub model_source: ModelRevisionSource,
    /// The ConfigMap that the Workspace names.
    pub config: ConfigLookup,
    /// Claims of both kinds whose labels name the Workspace, in any order. They include terminating claims, and those
    /// of an earlier Workspace of the same name.
    pub claims: Vec<Claim>,
    /// Claims of the names that the plan needs, although their labels name another Workspace or none.
    pub same_named: Vec<Claim>,
    /// Answer of the ledger of nodes to the plan's needs.
    pub grant: Grant,
    /// Answer of the queue of automatic upgrades.
    pub turn: Turn,
    /// Back-offs after failed launches, by claim name.
    pub launch_backoffs: BTreeMap<String, LaunchBackoff>,
    /// Offers of instance types that were refused lately, in any order; empty unless the Workspace names several types.
    pub unavailable: Vec<Arc<UnavailableType>>,
    /// Quota and restrictions of the subscription; `None` if they are not known, or the Workspace's workload exists.
    pub capacity: Option<ObservedCapacity>,
    /// Nodes that the claims name or whose labels name the Workspace. Where users bring their own nodes, those that match
    /// the Workspace's selector. Each once, in any order.
    pub nodes: Vec<Arc<Node>>,
    /// Objects of the names that we would give.
    pub workloads: Workloads,
    /// Revisions of the namespace whose label names the Workspace, also those of other owners, in any order.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// Pods of the namespace whose label names the Workspace, in any order.
    pub pods: Vec<Arc<Pod>>,
    /// Claims of the namespace for volumes of weights whose label names the Workspace, in any order.
    pub weights_claims: Vec<WeightsClaim>,
    /// Warnings about these pods and volumes, the workloads and lost claims, in any order: see [`crate::WARNINGS`].
    pub warnings: Vec<Arc<Event>>,
}

/// Quota and restrictions of the subscription.
#[derive(Clone, Debug)]
pub struct ObservedCapacity {
    /// The facts that the provisioner published.
    pub record: Arc<CapacityRecord>,
    /// Claims of other Workspaces that they do not count yet.
    pub waiting: WaitingVcpus,
}

/// The claim for a volume with weights.
#[derive(Clone, Debug)]
pub struct WeightsClaim {
    /// The claim. Any program may have created it.
    pub claim: Arc<PersistentVolumeClaim>,
    /// True if the Node that was chosen for the volume does not exist, or is younger than the claim.
    pub node_is_gone: bool,
}

/// The objects of the names that we would give, also those of other owners.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// Named as the Workspace.
    pub deployment: Option<Arc<Deployment>>,
    /// Named as the Workspace.
    pub stateful_set: Option<Arc<StatefulSet>>,
    /// Named as the Workspace.
    pub job: Option<Arc<Job>>,
    /// Named as the Workspace.
    pub service: Option<Arc<Service>>,
    /// Named by [`kaito_api::names::headless_service`].
    pub headless_service: Option<Arc<Service>>,
    /// Named by [`kaito_api::names::tuning_config`].
    pub tuning_config: Option<Arc<ConfigMap>>,
    /// Named by [`kaito_api::names::network_policy`].
    pub network_policy: Option<Arc<NetworkPolicy>>,
}

/// Answer of the preset registry about one preset.
#[derive(Clone, Debug, PartialEq)]
pub enum PresetLookup {
    /// The Workspace names no preset.
    NotNeeded,
    /// The registry has the preset.
    Found(Arc<Preset>),
    /// The registry has no preset of this name.
    Unknown {
        /// Similar names.
        near: Vec<String>,
    },
    /// The registry was asked and has not answered yet. The Workspace is enqueued when it does.
    Asking,
    /// The registry did not answer.
    Unavailable {
        /// Reason, for people.
        message: String,
        /// The preset of its last answer, which is good enough for a running workload.
        last_good: Option<Arc<Preset>>,
    },
}
