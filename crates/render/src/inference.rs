//! A preset to serve, with every decision about it. `workload.rs` renders it.

use std::collections::BTreeMap;

use kaito_api::{PresetOptions, Workspace};
use preset_catalog::estimate::{HostFit, Placement};
use preset_catalog::{InferenceProfile, Preset, Runtime};

use crate::adapter::Adapter;
use crate::hardware::Hardware;
use crate::paths;
use crate::platform::Platform;
use crate::serving::Serving;

/// A preset to serve, with every decision about it.
#[derive(Clone, Debug)]
pub struct Inference<'a> {
    /// The Workspace that asks for it.
    pub workspace: &'a Workspace,
    /// The model.
    pub preset: &'a Preset,
    /// The preset's way of being served.
    pub profile: &'a InferenceProfile,
    /// The engine that serves it.
    pub engine: Runtime,
    /// Nodes and GPUs.
    pub placement: Placement,
    /// Memory of the model on a node without a GPU; `None` with the GPU engine.
    pub host: Option<HostFit>,
    /// Hardware of each node.
    pub hardware: &'a Hardware,
    /// Longest context, in tokens; `None` leaves it to the engine.
    pub max_context: Option<u32>,
    /// Flags of the engine that the user sets, by name without dashes; an empty value is a bare flag.
    pub user_flags: BTreeMap<String, String>,
    /// Digest of the ConfigMap with these flags; empty without one.
    pub config_hash: String,
    /// Image whose `/data` has the weights; `None` leaves them to the hub.
    pub weights_image: Option<&'a str>,
    /// Adapters to load beside the model.
    pub adapters: Vec<Adapter>,
    /// Front, keys, encryption, processors and memory.
    pub serving: &'a Serving,
    /// The installation.
    pub platform: &'a Platform,
}

impl Inference<'_> {
    /// Returns true if the model is divided over several nodes.
    #[must_use]
    pub fn spans_nodes(&self) -> bool {
        self.placement.nodes > 1
    }

    /// Returns true if our server stands before the engine.
    pub(crate) fn has_front(&self) -> bool {
        self.serving.front && self.engine == Runtime::Vllm
    }

    /// Port of the engine.
    pub(crate) fn engine_port(&self) -> i32 {
        if self.has_front() {
            paths::ENGINE_PORT
        } else {
            paths::HTTP_PORT
        }
    }

    /// GPUs of each pod.
    pub(crate) fn gpus(&self) -> u32 {
        if self.engine == Runtime::Native && self.profile.cpu {
            0
        } else {
            self.placement.gpus_per_node
        }
    }

    /// The user's options for the preset.
    pub(crate) fn options(&self) -> Option<&PresetOptions> {
        let inference = self.workspace.spec.inference.as_ref()?;
        Some(&inference.preset.as_ref()?.preset_options)
    }

    /// Name of the user's ConfigMap; empty without one.
    pub(crate) fn config(&self) -> &str {
        let inference = self.workspace.spec.inference.as_ref();
        inference
            .map(|inference| inference.config.as_str())
            .unwrap_or_default()
    }
}
