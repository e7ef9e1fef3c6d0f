//! The form of `data/presets.yaml` and of users' preset files: what is written about a model.
//!
//! Only the form; `derive` turns an entry into a preset and `validate` judges the result. The comments of the
//! fields are the descriptions of the published JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::preset::{AttentionKind, Runtime, TuningMethod};
use crate::weights::Weights;

/// One model. What follows from these facts (short name, disk, readiness timeout, engine flags) is derived and
/// not written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Preset")]
pub(crate) struct Entry {
    /// Model hub repository in the hub's spelling, such as `microsoft/Phi-3-mini-4k-instruct`; its last segment
    /// in lower case is the short name.
    pub(crate) hub_id: String,
    /// Further names under which the preset is found.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    /// Only in users' files: replaces every built-in preset that has one of this preset's names.
    #[serde(default, rename = "override")]
    pub(crate) overrides: bool,
    /// Hub commit that the preset is pinned to; without it the default branch is followed.
    pub(crate) revision: Option<String>,
    /// Licence identifier as the hub states it.
    pub(crate) license: String,
    /// The hub asks for an account that accepted the licence.
    #[serde(default)]
    pub(crate) gated: bool,
    /// Why the preset must not be used any more; such a preset is neither served nor tuned.
    pub(crate) deprecated: Option<String>,
    /// First entry of `architectures` in the model's config.json.
    pub(crate) architecture: String,
    /// How the attention heads of a layer share keys and values.
    pub(crate) attention: Option<AttentionKind>,
    /// All weight files together.
    pub(crate) weights: Weights,
    /// What is fetched, where that differs from the weights: sizes disk and readiness timeout.
    pub(crate) download: Option<Weights>,
    /// Longest context in tokens: `max_position_embeddings` of config.json or its equivalent.
    pub(crate) max_context_tokens: u32,
    /// Key and value cache of one token, all layers, two bytes an element. MLA: layers × (latent + rope) × 2,
    /// else layers × 2 × KV heads × head size × 2.
    pub(crate) kv_bytes_per_token: u64,
    /// Hidden layers, which a pipeline divides whole.
    pub(crate) layers: Option<u32>,
    /// Query heads of a layer, which tensor parallelism divides whole.
    pub(crate) attention_heads: Option<u32>,
    /// Heads of a layer that hold keys and values; not written for latent attention.
    pub(crate) kv_heads: Option<u32>,
    /// Set when not every layer keeps the whole context.
    pub(crate) hybrid_cache: Option<HybridCacheEntry>,
    /// Method of the published weights; absent when they are not quantised.
    pub(crate) quantization: Option<String>,
    /// Set when the files are in the vendor's own layout instead of the hub's, such as `mistral`.
    pub(crate) weights_format: Option<String>,
    /// Engines in order of preference; the first is the default.
    #[serde(default = "vllm_only")]
    pub(crate) runtimes: Vec<Runtime>,
    /// Runs without a GPU; takes the native runtime.
    #[serde(default)]
    pub(crate) cpu: bool,
    /// May span nodes.
    #[serde(default = "yes")]
    pub(crate) distributed: bool,
    /// The model's own code must run to load it.
    #[serde(default)]
    pub(crate) trust_remote_code: bool,
    /// Engine flags without dashes that differ from what the rules give; null removes one.
    #[serde(default)]
    pub(crate) vllm_flags: BTreeMap<String, Option<String>>,
    /// Absent when the preset cannot be tuned.
    pub(crate) tuning: Option<TuningEntry>,
}

/// What layers keep when they differ, as written.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HybridCacheEntry {
    /// Layers that keep keys and values of the whole context.
    pub(crate) full_layers: u32,
    /// Layers that keep them for the last `window_tokens` only.
    #[serde(default)]
    pub(crate) window_layers: u32,
    /// Length of the window in tokens.
    #[serde(default)]
    pub(crate) window_tokens: u32,
    /// State of one sequence, all layers together, whatever its length.
    pub(crate) state: Option<Weights>,
}

/// How a model is tuned, as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TuningEntry {
    /// Methods that work.
    pub(crate) methods: Vec<TuningMethod>,
    /// GiB of disk that the node needs.
    pub(crate) disk_gib: u32,
    /// Repository and tag, without the registry, of the image that carries the weights.
    #[serde(default)]
    pub(crate) weights_image: String,
    /// Names of the files that are fetched from the model hub where there is no such image.
    #[serde(default)]
    pub(crate) weights_files: Vec<String>,
}

fn vllm_only() -> Vec<Runtime> {
    vec![Runtime::Vllm]
}

const fn yes() -> bool {
    true
}
