//! Format of `data/presets.yaml` and of user preset files.
//!
//! `derive` turns an entry into a preset and `validate` checks the result. The doc comments of the fields are the
//! descriptions of the published JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::preset::{AttentionKind, Runtime, TuningMethod};
use crate::weights::Weights;

/// One model. Short name, disk, readiness timeout and engine flags are derived from these facts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Preset")]
pub(crate) struct Entry {
    /// Model hub repository in the hub's spelling, such as `microsoft/Phi-3-mini-4k-instruct`. Its last segment in
    /// lower case is the short name.
    pub(crate) hub_id: String,
    /// Alternative names of the preset.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    /// Replaces every built-in preset that has one of this preset's names; allowed in user files only.
    #[serde(default, rename = "override")]
    pub(crate) overrides: bool,
    /// Hub commit that the preset is pinned to, 40 or 64 hexadecimal digits; the default branch is used otherwise.
    /// Required with `trust_remote_code`.
    pub(crate) revision: Option<String>,
    /// License identifier as the hub states it.
    pub(crate) license: String,
    /// True if the hub requires an account that accepted the license.
    #[serde(default)]
    pub(crate) gated: bool,
    /// Reason of the deprecation; a deprecated preset is neither served nor tuned.
    pub(crate) deprecated: Option<String>,
    /// First entry of `architectures` in the model's config.json.
    pub(crate) architecture: String,
    /// Sharing of keys and values among the attention heads of a layer.
    pub(crate) attention: Option<AttentionKind>,
    /// Size of all weight files.
    pub(crate) weights: Weights,
    /// Size of the weights that one token reads, if a mixture of experts does not read all; estimates of speed use it.
    pub(crate) active_weights: Option<Weights>,
    /// Size of the download, if it differs from the weights; it determines disk and readiness timeout.
    pub(crate) download: Option<Weights>,
    /// Longest context in tokens: `max_position_embeddings` of config.json or its equivalent.
    pub(crate) max_context_tokens: u32,
    /// KV cache of one token in all layers, with two bytes per element. MLA: layers × (latent + rope) × 2,
    /// otherwise layers × 2 × KV heads × head size × 2.
    pub(crate) kv_bytes_per_token: u64,
    /// Number of hidden layers; a pipeline never splits one.
    pub(crate) layers: Option<u32>,
    /// Number of query heads of a layer; tensor parallelism never splits one.
    pub(crate) attention_heads: Option<u32>,
    /// Number of KV heads of a layer; absent for latent attention.
    pub(crate) kv_heads: Option<u32>,
    /// Present if not every layer caches the whole context.
    pub(crate) hybrid_cache: Option<HybridCacheEntry>,
    /// Quantization method of the published weights; absent if they are not quantized.
    pub(crate) quantization: Option<String>,
    /// Vendor-specific layout of the files, such as `mistral`; absent for the hub's layout.
    pub(crate) weights_format: Option<String>,
    /// Runtimes in order of preference; the first is the default.
    #[serde(default = "vllm_only")]
    pub(crate) runtimes: Vec<Runtime>,
    /// True if the model runs without a GPU; requires the native runtime.
    #[serde(default)]
    pub(crate) cpu: bool,
    /// True if the model may span nodes.
    #[serde(default = "yes")]
    pub(crate) distributed: bool,
    /// True if loading the model runs its own code.
    #[serde(default)]
    pub(crate) trust_remote_code: bool,
    /// Engine flags without dashes that override the rules; null removes a flag.
    #[serde(default)]
    pub(crate) vllm_flags: BTreeMap<String, Option<String>>,
    /// Tuning data; absent if the preset cannot be tuned.
    pub(crate) tuning: Option<TuningEntry>,
}

/// Cache of a model whose layers differ.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HybridCacheEntry {
    /// Number of layers that cache the whole context.
    pub(crate) full_layers: u32,
    /// Number of layers that cache the last `window_tokens` only.
    #[serde(default)]
    pub(crate) window_layers: u32,
    /// Length of the window, in tokens.
    #[serde(default)]
    pub(crate) window_tokens: u32,
    /// Fixed-size state of one sequence in all layers.
    pub(crate) state: Option<Weights>,
}

/// Tuning data of a model.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TuningEntry {
    /// Supported methods.
    pub(crate) methods: Vec<TuningMethod>,
    /// Disk of the node in GiB.
    pub(crate) disk_gib: u32,
    /// Repository and tag, without the registry, of the image with the weights.
    #[serde(default)]
    pub(crate) weights_image: String,
    /// Names of the files to download from the model hub, if there is no such image.
    #[serde(default)]
    pub(crate) weights_files: Vec<String>,
}

fn vllm_only() -> Vec<Runtime> {
    vec![Runtime::Vllm]
}

const fn yes() -> bool {
    true
}
