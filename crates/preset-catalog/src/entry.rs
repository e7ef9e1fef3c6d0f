//! The form of `data/presets.yaml`: what is written about a model.
//!
//! Only the form; `derive` turns an entry into a preset and `validate` judges the result.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::preset::{AttentionKind, Runtime, TuningMethod};
use crate::weights::Weights;

/// One model. The fields are explained at the top of the data file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) hub_id: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    pub(crate) revision: Option<String>,
    pub(crate) license: String,
    #[serde(default)]
    pub(crate) gated: bool,
    pub(crate) deprecated: Option<String>,
    pub(crate) architecture: String,
    pub(crate) attention: Option<AttentionKind>,
    pub(crate) weights: Weights,
    pub(crate) download: Option<Weights>,
    pub(crate) max_context_tokens: u32,
    pub(crate) kv_bytes_per_token: u64,
    pub(crate) layers: Option<u32>,
    pub(crate) attention_heads: Option<u32>,
    pub(crate) kv_heads: Option<u32>,
    pub(crate) hybrid_cache: Option<HybridCacheEntry>,
    pub(crate) quantization: Option<String>,
    pub(crate) weights_format: Option<String>,
    #[serde(default = "vllm_only")]
    pub(crate) runtimes: Vec<Runtime>,
    #[serde(default)]
    pub(crate) cpu: bool,
    #[serde(default = "yes")]
    pub(crate) distributed: bool,
    #[serde(default)]
    pub(crate) trust_remote_code: bool,
    #[serde(default)]
    pub(crate) vllm_flags: BTreeMap<String, Option<String>>,
    pub(crate) tuning: Option<TuningEntry>,
}

/// What layers keep when they differ, as written.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HybridCacheEntry {
    pub(crate) full_layers: u32,
    #[serde(default)]
    pub(crate) window_layers: u32,
    #[serde(default)]
    pub(crate) window_tokens: u32,
    pub(crate) state: Option<Weights>,
}

/// How a model is tuned, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TuningEntry {
    pub(crate) methods: Vec<TuningMethod>,
    pub(crate) disk_gib: u32,
    pub(crate) weights_image: String,
}

fn vllm_only() -> Vec<Runtime> {
    vec![Runtime::Vllm]
}

const fn yes() -> bool {
    true
}
