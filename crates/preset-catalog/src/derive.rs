//! Derivation of a preset from an entry.
//!
//! Every entry gives a preset; `validate` checks the result.

use std::collections::BTreeMap;

use crate::entry::{Entry, HybridCacheEntry, TuningEntry};
use crate::preset::{
    DISK_BESIDE_WEIGHTS_GIB, HybridCache, InferenceProfile, ModelShape, Preset, TuningProfile,
};
use crate::rules::Rules;

const GIB: u64 = 1 << 30;

/// Seconds until a server without weights is ready: image pull, engine start, compilation.
const READINESS_BASE_SECONDS: u64 = 15 * 60;
/// Seconds to load one GiB of weights.
const READINESS_SECONDS_PER_GIB: u64 = 18;
const READINESS_MIN_SECONDS: u64 = 30 * 60;
const READINESS_MAX_SECONDS: u64 = 180 * 60;

/// Derives the preset of an entry.
pub(crate) fn preset(entry: Entry, rules: &Rules) -> Preset {
    let name = short_name(&entry.hub_id);
    // A deprecated preset stays in the catalog, so that the error can give the reason.
    let usable = entry.deprecated.is_none();
    let inference = usable.then(|| inference_profile(&name, &entry, rules));
    let tuning = entry.tuning.filter(|_| usable).map(tuning_profile);
    Preset {
        name,
        aliases: entry.aliases.iter().map(|alias| alias.to_lowercase()).collect(),
        hub_id: entry.hub_id,
        revision: entry.revision,
        head: None,
        license: entry.license,
        gated: entry.gated,
        deprecated: entry.deprecated,
        shape: ModelShape {
            architecture: entry.architecture,
            attention: entry.attention,
            weights_bytes: entry.weights.bytes,
            active_weights_bytes: entry.active_weights.map(|weights| weights.bytes),
            max_context_tokens: entry.max_context_tokens,
            kv_bytes_per_token: entry.kv_bytes_per_token,
            quantization: entry.quantization,
            layers: entry.layers,
            attention_heads: entry.attention_heads,
            kv_heads: entry.kv_heads,
            hybrid_cache: entry.hybrid_cache.map(hybrid_cache),
        },
        inference,
        tuning,
    }
}

fn short_name(hub_id: &str) -> String {
    hub_id.rsplit('/').next().unwrap_or(hub_id).to_lowercase()
}

fn hybrid_cache(entry: HybridCacheEntry) -> HybridCache {
    HybridCache {
        full_layers: entry.full_layers,
        window_layers: entry.window_layers,
        window_tokens: entry.window_tokens,
        state_bytes: entry.state.map_or(0, |state| state.bytes),
    }
}

fn inference_profile(name: &str, entry: &Entry, rules: &Rules) -> InferenceProfile {
    let fetched = entry.download.unwrap_or(entry.weights).bytes;
    InferenceProfile {
        runtimes: entry.runtimes.clone(),
        disk_gib: disk_gib(fetched),
        readiness_timeout_seconds: readiness_timeout_seconds(fetched),
        cpu: entry.cpu,
        distributed: entry.distributed,
        trust_remote_code: entry.trust_remote_code,
        min_compute_capability: rules
            .min_compute_capability(&entry.architecture, entry.quantization.as_deref()),
        needs_cuda_toolkit: rules.needs_cuda_toolkit(name, &entry.architecture),
        vllm_flags: vllm_flags(name, entry, rules),
        vllm_env: rules.env(name, &entry.architecture),
    }
}

fn tuning_profile(entry: TuningEntry) -> TuningProfile {
    TuningProfile {
        methods: entry.methods,
        disk_gib: entry.disk_gib,
        weights_image: entry.weights_image,
        weights_files: entry.weights_files,
    }
}

/// Merges flags: those of every model, then the rules, then the entry.
fn vllm_flags(name: &str, entry: &Entry, rules: &Rules) -> BTreeMap<String, String> {
    let format = entry.weights_format.as_deref().unwrap_or("auto");
    // Quantized weights have their own type; all others are computed in bfloat16.
    let dtype = if entry.quantization.is_some() {
        "auto"
    } else {
        "bfloat16"
    };
    let base = [
        ("dtype", dtype),
        ("load_format", format),
        ("config_format", format),
        ("tokenizer_mode", format),
    ];
    let mut flags: BTreeMap<_, _> = base
        .into_iter()
        .map(|(flag, value)| (flag.to_owned(), value.to_owned()))
        .collect();
    flags.extend(rules.flags(name, &entry.architecture));
    for (flag, value) in &entry.vllm_flags {
        match value {
            Some(value) => flags.insert(flag.clone(), value.clone()),
            None => flags.remove(flag),
        };
    }
    if flags.contains_key("tool-call-parser") {
        // Without this flag, vLLM rejects requests with `tool_choice: auto`.
        flags.insert("enable-auto-tool-choice".to_owned(), String::new());
    }
    flags
}

/// Download plus the fixed share, in whole GiB, rounded down.
fn disk_gib(fetched_bytes: u64) -> u32 {
    u32::try_from(fetched_bytes / GIB + u64::from(DISK_BESIDE_WEIGHTS_GIB)).unwrap_or(u32::MAX)
}

/// Base plus loading time, between half an hour and three hours, in whole seconds, rounded down.
fn readiness_timeout_seconds(fetched_bytes: u64) -> u32 {
    let loading = fetched_bytes.saturating_mul(READINESS_SECONDS_PER_GIB) / GIB;
    let seconds = (READINESS_BASE_SECONDS + loading).clamp(READINESS_MIN_SECONDS, READINESS_MAX_SECONDS);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_follows_the_weights() {
        assert_eq!(disk_gib(GIB / 4), 80);
        assert_eq!(disk_gib(10 * GIB - 1), 89);
        assert_eq!(disk_gib(u64::MAX), u32::MAX);
    }

    #[test]
    fn readiness_is_clamped() {
        assert_eq!(readiness_timeout_seconds(0), 1800);
        assert_eq!(readiness_timeout_seconds(50 * GIB), 1800);
        assert_eq!(readiness_timeout_seconds(51 * GIB), 1818);
        assert_eq!(readiness_timeout_seconds(u64::MAX), 10800);
    }

    #[test]
    fn entries_override_rules() {
        let rules = "flags: {tool-call-parser: {default: x}, a: {default: '1'}}\nenv: {}";
        let entry = "{hub_id: Org/Model-1, license: mit, architecture: A, weights: 1Gi, max_context_tokens: 1, \
                     kv_bytes_per_token: 1, vllm_flags: {a: '2', b: '', tool-call-parser: null}}";
        let preset = preset(
            serde_saphyr::from_str(entry).unwrap(),
            &serde_saphyr::from_str(rules).unwrap(),
        );
        assert_eq!(preset.name, "model-1");
        let flags = preset.inference.unwrap().vllm_flags;
        assert_eq!((flags["a"].as_str(), flags["b"].as_str()), ("2", ""));
        assert!(!flags.contains_key("tool-call-parser") && !flags.contains_key("enable-auto-tool-choice"));
    }
}
