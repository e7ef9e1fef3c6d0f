//! Everything a decision about one Workspace may look at. Absence and failure are data.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use kaito_api::{Claim, Workspace};
use preset_catalog::Preset;

use crate::launch_backoff::LaunchBackoff;

/// One Workspace and what belongs to it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Workspace.
    pub workspace: Arc<Workspace>,
    /// What the preset registry says of the preset the Workspace names.
    pub preset: PresetLookup,
    /// Claims of either kind that carry the Workspace's name and namespace as labels, in any order: also those that
    /// are being deleted, and those of an earlier Workspace of the same name.
    pub claims: Vec<Claim>,
    /// Back-offs after failed launches, by claim name.
    pub launch_backoffs: BTreeMap<String, LaunchBackoff>,
    /// Nodes that those claims name or that carry the Workspace's labels; nodes that match the Workspace's
    /// selector where nodes are brought along. Each once, in any order.
    pub nodes: Vec<Arc<Node>>,
    /// Objects of the Workspace's namespace that have the names we would give.
    pub workloads: Workloads,
    /// Pods of the namespace that carry the Workspace's label, in any order.
    pub pods: Vec<Arc<Pod>>,
}

/// The objects of the names we would give, whoever owns them.
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
}

/// What the preset registry says of a preset.
#[derive(Clone, Debug, PartialEq)]
pub enum PresetLookup {
    /// The Workspace names none.
    NotNeeded,
    /// Known.
    Found(Arc<Preset>),
    /// The registry answered that it knows none of this name.
    Unknown {
        /// Names that look alike.
        near: Vec<String>,
    },
    /// The registry did not answer.
    Unavailable {
        /// Why, for people.
        message: String,
        /// What it said last, if it ever did: good enough for all that runs.
        last_good: Option<Arc<Preset>>,
    },
}
