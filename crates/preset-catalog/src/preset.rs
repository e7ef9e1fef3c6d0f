//! What a preset is: everything that is known about a model which can be served or tuned by its name alone.
//!
//! Plain values with the meaning of `proto/kaito/preset/v1/preset_registry.proto`; how they come about is the
//! business of the other modules.

use std::collections::BTreeMap;

use instance_types::ComputeCapability;
use schemars::JsonSchema;
use serde::Deserialize;

/// A model that can be served, and possibly tuned, without the user choosing parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Short name: the last segment of the hub id in lower case. Also the name under which it is served.
    pub name: String,
    /// Other names under which it is found.
    pub aliases: Vec<String>,
    /// Model hub repository in the hub's spelling, such as `microsoft/Phi-3-mini-4k-instruct`.
    pub hub_id: String,
    /// Hub commit it is pinned to; absent when it follows the default branch.
    pub revision: Option<String>,
    /// Licence identifier as the hub states it.
    pub license: String,
    /// The hub asks for an account that accepted the licence.
    pub gated: bool,
    /// Present when it must not be used any more; says why.
    pub deprecated: Option<String>,
    /// What sizing needs to know.
    pub shape: ModelShape,
    /// Absent when it cannot be served.
    pub inference: Option<InferenceProfile>,
    /// Absent when it cannot be tuned.
    pub tuning: Option<TuningProfile>,
}

/// What a model is, as far as sizing needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelShape {
    /// First entry of `architectures` in the model's config.json.
    pub architecture: String,
    /// How heads share keys and values; absent when not known.
    pub attention: Option<AttentionKind>,
    /// Bytes of all weight files.
    pub weights_bytes: u64,
    /// Longest context the model was made for, in tokens.
    pub max_context_tokens: u32,
    /// Bytes of key and value cache for one token of context: all layers, two bytes an element.
    pub kv_bytes_per_token: u64,
    /// Quantisation method of the weights; absent when they are not quantised.
    pub quantization: Option<String>,
    /// Hidden layers, which a pipeline divides whole; absent when not known.
    pub layers: Option<u32>,
    /// Query heads of a layer, which tensor parallelism divides whole; absent when not known.
    pub attention_heads: Option<u32>,
    /// Heads of a layer that hold keys and values; absent when not known, and with latent attention.
    pub kv_heads: Option<u32>,
    /// Present when not every layer keeps the whole context.
    pub hybrid_cache: Option<HybridCache>,
}

/// What a model keeps for its context when its layers differ. Layers that are in neither count keep a state of
/// fixed size (state space, linear attention) or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HybridCache {
    /// Layers that keep keys and values of the whole context.
    pub full_layers: u32,
    /// Layers that keep them for the last `window_tokens` only.
    pub window_layers: u32,
    /// Length of the window in tokens; 0 without such layers.
    pub window_tokens: u32,
    /// Bytes of state for one sequence, all layers together, whatever its length.
    pub state_bytes: u64,
}

/// How the attention heads of a layer share keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AttentionKind {
    /// Multi-head: every head has its own.
    Mha,
    /// Grouped-query: a group of heads shares them.
    Gqa,
    /// Multi-query: all heads share them.
    Mqa,
    /// Multi-head latent: all heads share one compressed vector.
    Mla,
}

/// An engine that can serve a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// vLLM in a GPU pod.
    Vllm,
    /// The inference server of this project.
    Native,
}

impl Runtime {
    /// The lower-case name, as it is written in annotations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Native => "native",
        }
    }
}

/// How a preset is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceProfile {
    /// In order of preference and never empty; the first is the default.
    pub runtimes: Vec<Runtime>,
    /// GiB of disk that the node needs.
    pub disk_gib: u32,
    /// Seconds that the server may take until it answers its health check.
    pub readiness_timeout_seconds: u32,
    /// Runs without a GPU.
    pub cpu: bool,
    /// The model may span nodes.
    pub distributed: bool,
    /// The model's own code must be run to load it. Not repeated in `vllm_flags`.
    pub trust_remote_code: bool,
    /// CUDA compute capability below which the engine has no kernels for the model; absent where any GPU will do.
    pub min_compute_capability: Option<ComputeCapability>,
    /// Engine flags by name without dashes, as far as they depend on the model alone; an empty value is a bare
    /// flag.
    pub vllm_flags: BTreeMap<String, String>,
    /// Extra environment of the vLLM container, as far as it depends on the model alone.
    pub vllm_env: BTreeMap<String, String>,
}

/// How a preset is tuned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuningProfile {
    /// Methods that work for this preset; never empty.
    pub methods: Vec<TuningMethod>,
    /// GiB of disk that the node needs.
    pub disk_gib: u32,
    /// Repository and tag, without the registry, of the image that carries the weights; empty where the hub has them.
    pub weights_image: String,
    /// Names of the files that are fetched from the model hub; empty where there is an image.
    pub weights_files: Vec<String>,
}

/// A way to tune a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TuningMethod {
    /// Low-rank adapters beside the weights as they are.
    Lora,
    /// Low-rank adapters beside weights quantised to four bits.
    Qlora,
}

impl TuningMethod {
    /// Every method.
    pub const ALL: [Self; 2] = [Self::Lora, Self::Qlora];

    /// The lower-case name, as it is written in a Workspace.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Qlora => "qlora",
        }
    }
}
