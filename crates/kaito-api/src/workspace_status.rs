//! The status of a Workspace, which the controller reports. It is output: no decision depends on it alone.

#![allow(
    unreachable_pub,
    reason = "the schema derive makes a private copy of the type"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Observed state of a Workspace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceStatus {
    /// Names of the nodes the Workspace runs on, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worker_nodes: Vec<String>,
    /// State as one word: `Pending`, `Ready`, `NotReady`, `Running`, `Succeeded` or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<WorkspaceState>,
    /// Reason for which the Workspace is not ready, as one word; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Preset that is served or tuned; absent with a pod template of the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Commit of the model's repository; absent if nothing is downloaded from a hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_revision: Option<ModelRevision>,
    /// URL at which the model answers; absent while it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Conditions, one a type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Instance type of the nodes that were asked for; absent before, and on the user's own nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Capacity types and zones of the instances that were bought, with the number of instances of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offerings: Vec<BoughtOffering>,
    /// Launches that were refused or left out, the oldest first. Only the last ones are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<LaunchAttempt>,
    /// Number of nodes that the Workspace needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_node_count: Option<i32>,
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Times of the first start, from the claims to the first answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_start: Option<ColdStart>,
    /// Results of the start-up benchmark, by metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<PerformanceStatus>,
}

/// Instances of one capacity type in one zone.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoughtOffering {
    /// `on-demand`, `spot` or `reserved`.
    pub capacity_type: String,
    /// Zone; absent if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Number of instances.
    pub nodes: i32,
}

/// One attempt to get nodes of an instance type that failed or was left out.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchAttempt {
    /// Time at which the failure was seen.
    pub time: Time,
    /// Instance type that was asked for.
    pub instance_type: String,
    /// Claim that asked for it; absent if the type was left out, because it was refused shortly before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub claim: String,
    /// Reason for the failure, as one word.
    pub reason: String,
    /// Words of the provisioner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Commit of a model's repository, and where it is from.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRevision {
    /// The commit; absent if each start downloads the head of the default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Origin of the commit: `Annotation`, `Preset`, `FirstUse`, `Revision` or `Unpinned`.
    pub source: ModelRevisionSource,
}

/// Origin of the commit of a model.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelRevisionSource {
    /// The annotation `kaito.sh/model-revision` names it.
    Annotation,
    /// The preset is pinned to it.
    Preset,
    /// The preset is unpinned, and the Workspace keeps the commit of its first use.
    FirstUse,
    /// It is from an earlier rendering, which a ControllerRevision holds.
    Revision,
    /// The preset is unpinned and nothing fixed a commit.
    #[default]
    Unpinned,
}

impl ModelRevisionSource {
    /// Describes the origin for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Annotation => "the annotation kaito.sh/model-revision",
            Self::Preset => "pinned by the preset",
            Self::FirstUse => "unpinned preset, fixed at the first use",
            Self::Revision => "an earlier rendering",
            Self::Unpinned => "unpinned: each start downloads the head of the default branch",
        }
    }
}

/// State of a Workspace, as one word.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkspaceState {
    /// The Workspace is not ready yet.
    Pending,
    /// The model is served.
    Ready,
    /// The model was served before and is not now.
    NotReady,
    /// The tuning Job runs.
    Running,
    /// The tuning Job succeeded.
    Succeeded,
    /// The tuning Job failed.
    Failed,
}

/// Times of the first start of a Workspace. Each is set once, when all nodes or pods have done the step.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdStart {
    /// The claims were created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Time>,
    /// The cloud had the instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched: Option<Time>,
    /// The Nodes had joined the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<Time>,
    /// The Nodes were ready and offered their GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialized: Option<Time>,
    /// The pods were bound to the Nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Time>,
    /// The weights of the model were on all nodes; absent for a tuning and for pod templates of the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downloaded: Option<Time>,
    /// Bytes of the weights and the files beside them, on each node; absent before they are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_bytes: Option<i64>,
    /// The images were pulled and the containers started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// The weights were loaded and the model answered; absent for a tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Time>,
    /// List price of the nodes in US dollars an hour, a decimal; absent if it is unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub usd_per_hour: String,
}

impl ColdStart {
    /// Returns the steps in their order, each with its time.
    #[must_use]
    pub fn steps(&self) -> [(ColdStartStep, Option<&Time>); 8] {
        use ColdStartStep as Step;
        [
            (Step::Claimed, self.claimed.as_ref()),
            (Step::Launched, self.launched.as_ref()),
            (Step::Registered, self.registered.as_ref()),
            (Step::Initialized, self.initialized.as_ref()),
            (Step::Scheduled, self.scheduled.as_ref()),
            (Step::Downloaded, self.downloaded.as_ref()),
            (Step::Started, self.started.as_ref()),
            (Step::Ready, self.ready.as_ref()),
        ]
    }
}

/// A step of the first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is the field of ColdStart that it is named after"
)]
pub enum ColdStartStep {
    Claimed,
    Launched,
    Registered,
    Initialized,
    Scheduled,
    Downloaded,
    Started,
    Ready,
}

impl ColdStartStep {
    /// Describes the completed step for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Claimed => "claims created",
            Self::Launched => "instances launched",
            Self::Registered => "nodes registered",
            Self::Initialized => "device plugins ready",
            Self::Scheduled => "pods scheduled",
            Self::Downloaded => "weights downloaded",
            Self::Started => "images pulled, containers started",
            Self::Ready => "model loaded, first answer",
        }
    }
}

/// Results of the start-up benchmark.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PerformanceStatus {
    /// By metric name.
    #[serde(default)]
    pub metrics: BTreeMap<String, PerformanceMetric>,
}

/// One measured value.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PerformanceMetric {
    /// Description of the measurement.
    pub description: String,
    /// The value, a decimal.
    pub value: String,
    /// Unit of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Settings of the measurement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}
