//! The desired state of a Workspace: the values that `validate` derives from its spec and `build` renders.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kaito_api::TuningSpec;
use preset_catalog::estimate::{HostFit, Placement};
use preset_catalog::{InferenceProfile, Preset, Runtime, TuningMethod, TuningProfile};
use render::{Adapter, Hardware, Serving, Tuner, TuningInput, TuningOutput};

use crate::problem::Problem;

/// The desired state of a Workspace.
#[derive(Debug)]
pub(crate) struct Desired<'a> {
    pub(crate) workload: DesiredWorkload<'a>,
    /// Number of nodes.
    pub(crate) nodes: u32,
    /// Hardware of each node.
    pub(crate) hardware: Hardware,
    /// GPUs that each node must offer to the pods.
    pub(crate) gpus_per_node: u32,
    /// Disk that each node needs, in GiB; 0 leaves it to the provisioner.
    pub(crate) disk_gib: u32,
    /// The arithmetic behind the number of nodes, in one line.
    pub(crate) sizing_summary: Option<String>,
    /// Reason for which a changed spec is not applied to the running workload.
    pub(crate) update_blocked: Option<Problem>,
    /// True if the Workspace names several instance types. Then claims of another type give way while nothing runs.
    pub(crate) is_ladder: bool,
    /// Better types of the ladder that are left out for quota or restrictions.
    pub(crate) left_out: Vec<LeftOut>,
    /// Problems to report although they prevent nothing.
    pub(crate) notes: Vec<Problem>,
}

/// An instance type of the ladder that is left out for quota or restrictions.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    /// Name in the Workspace.
    pub(crate) rung: String,
    /// The reason.
    pub(crate) problem: Problem,
}

/// The workload that runs on the nodes.
#[derive(Debug)]
pub(crate) enum DesiredWorkload<'a> {
    /// A pod template of the user's own.
    Template(Box<PodTemplateSpec>),
    /// A preset that is served.
    Inference(Box<DesiredInference<'a>>),
    /// A preset that is tuned.
    Tuning(Box<DesiredTuning<'a>>),
}

/// A preset to serve.
#[derive(Debug)]
pub(crate) struct DesiredInference<'a> {
    pub(crate) preset: &'a Preset,
    pub(crate) profile: &'a InferenceProfile,
    pub(crate) engine: Runtime,
    pub(crate) placement: Placement,
    /// Memory of the model on a node without a GPU; `None` with the GPU engine.
    pub(crate) host: Option<HostFit>,
    /// Longest context, in tokens; `None` leaves it to the engine.
    pub(crate) max_context: Option<u32>,
    /// Flags of the engine that the user sets.
    pub(crate) user_flags: BTreeMap<String, String>,
    /// Digest of the user's ConfigMap; empty without one.
    pub(crate) config_hash: String,
    /// Image with the weights; `None` leaves them to the hub.
    pub(crate) weights_image: Option<&'a str>,
    pub(crate) adapters: Vec<Adapter>,
    pub(crate) serving: Serving,
}

/// A preset to tune.
#[derive(Debug)]
pub(crate) struct DesiredTuning<'a> {
    pub(crate) spec: &'a TuningSpec,
    pub(crate) preset: &'a Preset,
    pub(crate) profile: &'a TuningProfile,
    pub(crate) method: TuningMethod,
    pub(crate) tuner: Tuner,
    /// Digest of the user's ConfigMap; empty without one.
    pub(crate) config_hash: String,
    pub(crate) input: TuningInput,
    pub(crate) output: TuningOutput,
}
