//! The preset: all data about a model that can be served or tuned by name.
//!
//! These are plain values with the meaning of `proto/kaito/preset/v1/preset_registry.proto`. Other modules compute them.

use std::collections::BTreeMap;

use instance_types::ComputeCapability;
use schemars::JsonSchema;
use serde::Deserialize;

/// Disk for the image, its layers and temporary files, in addition to the weights.
pub(crate) const DISK_BESIDE_WEIGHTS_GIB: u32 = 80;

/// Weights of the largest small preset, in bytes.
const SMALL_BYTES: u64 = 3 << 30;

/// A model that can be served, and possibly tuned, without parameters of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Short name: the last segment of the hub id in lower case. It is also the served model name.
    pub name: String,
    /// Alternative names.
    pub aliases: Vec<String>,
    /// Model hub repository in the hub's spelling, such as `microsoft/Phi-3-mini-4k-instruct`.
    pub hub_id: String,
    /// Pinned hub commit; absent if it follows the default branch.
    pub revision: Option<String>,
    /// Commit at the head of the hub's default branch, as it was read last; absent if it was not read. It moves, so each
    /// user keeps the first one.
    pub head: Option<String>,
    /// License identifier as the hub states it.
    pub license: String,
    /// True if the hub requires an account that accepted the license.
    pub gated: bool,
    /// Reason of the deprecation, if deprecated.
    pub deprecated: Option<String>,
    /// Data for sizing.
    pub shape: ModelShape,
    /// Inference profile; absent if the preset cannot be served.
    pub inference: Option<InferenceProfile>,
    /// Tuning profile; absent if the preset cannot be tuned.
    pub tuning: Option<TuningProfile>,
}

/// Properties of a model for sizing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelShape {
    /// First entry of `architectures` in the model's config.json.
    pub architecture: String,
    /// Sharing of keys and values among heads; absent if unknown.
    pub attention: Option<AttentionKind>,
    /// Size of all weight files, in bytes.
    pub weights_bytes: u64,
    /// Bytes of the weights that the engine reads for one token, if a mixture of experts does not read all.
    pub active_weights_bytes: Option<u64>,
    /// Longest context of the model, in tokens.
    pub max_context_tokens: u32,
    /// KV cache of one token in all layers, in bytes, with two bytes per element.
    pub kv_bytes_per_token: u64,
    /// Quantization method of the weights; absent if they are not quantized.
    pub quantization: Option<String>,
    /// Number of hidden layers; a pipeline never splits one. Absent if unknown.
    pub layers: Option<u32>,
    /// Number of query heads of a layer; tensor parallelism never splits one. Absent if unknown.
    pub attention_heads: Option<u32>,
    /// Number of KV heads of a layer; absent if unknown, and for latent attention.
    pub kv_heads: Option<u32>,
    /// Present if not every layer caches the whole context.
    pub hybrid_cache: Option<HybridCache>,
}

impl ModelShape {
    /// Returns true if the weights are at most 3 GiB: any node holds them, and processors read them fast.
    #[must_use]
    pub const fn is_small(&self) -> bool {
        self.weights_bytes <= SMALL_BYTES
    }
}

/// Cache of a model whose layers differ. Layers in neither count have a state of fixed size (state space, linear
/// attention) or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HybridCache {
    /// Number of layers that cache the whole context.
    pub full_layers: u32,
    /// Number of layers that cache the last `window_tokens` only.
    pub window_layers: u32,
    /// Length of the window, in tokens; 0 without such layers.
    pub window_tokens: u32,
    /// Fixed-size state of one sequence in all layers, in bytes.
    pub state_bytes: u64,
}

/// Sharing of keys and values among the attention heads of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum AttentionKind {
    /// Multi-head: every head has its own keys and values.
    Mha,
    /// Grouped-query: each group of heads shares keys and values.
    Gqa,
    /// Multi-query: all heads share keys and values.
    Mqa,
    /// Multi-head latent: all heads share one compressed vector.
    Mla,
}

/// A runtime that serves presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// vLLM in a GPU pod.
    Vllm,
    /// This project's inference-server.
    Native,
}

impl Runtime {
    /// Returns the lower-case name used in annotations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Native => "native",
        }
    }
}

/// Inference profile of a preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceProfile {
    /// Runtimes in order of preference, never empty; the first is the default.
    pub runtimes: Vec<Runtime>,
    /// Disk of the node, in GiB.
    pub disk_gib: u32,
    /// Seconds until the server must be ready.
    pub readiness_timeout_seconds: u32,
    /// True if the model runs without a GPU.
    pub cpu: bool,
    /// True if the model may span nodes.
    pub distributed: bool,
    /// True if loading the model runs its own code. Not repeated in `vllm_flags`.
    pub trust_remote_code: bool,
    /// Lowest CUDA compute capability with kernels for the model; absent if any GPU works.
    pub min_compute_capability: Option<ComputeCapability>,
    /// True if the engine compiles kernels for the model with the CUDA toolkit.
    pub needs_cuda_toolkit: bool,
    /// vLLM flags that depend on the model alone, by name without dashes; an empty value is a bare flag.
    pub vllm_flags: BTreeMap<String, String>,
    /// Environment of the vLLM container that depends on the model alone.
    pub vllm_env: BTreeMap<String, String>,
}

impl InferenceProfile {
    /// Returns the size of the download that the disk of the node has room for, in GiB, rounded up.
    #[must_use]
    pub fn download_gib(&self) -> u32 {
        self.disk_gib
            .saturating_sub(DISK_BESIDE_WEIGHTS_GIB)
            .saturating_add(1)
    }
}

/// Tuning profile of a preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuningProfile {
    /// Supported methods; never empty.
    pub methods: Vec<TuningMethod>,
    /// Disk of the node, in GiB.
    pub disk_gib: u32,
    /// Repository and tag, without the registry, of the image with the weights; empty if the hub has them.
    pub weights_image: String,
    /// Names of the files to download from the model hub; empty if there is an image.
    pub weights_files: Vec<String>,
}

/// A tuning method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TuningMethod {
    /// LoRA: low-rank adapters on unquantized weights.
    Lora,
    /// QLoRA: low-rank adapters on weights quantized to four bits.
    Qlora,
}

impl TuningMethod {
    /// All methods.
    pub const ALL: [Self; 2] = [Self::Lora, Self::Qlora];

    /// Returns the lower-case name used in a Workspace.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Qlora => "qlora",
        }
    }
}
