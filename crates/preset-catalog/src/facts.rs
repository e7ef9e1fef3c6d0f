//! Facts about a model outside the catalog, and the preset that follows from them by the catalog's rules.
//!
//! The caller provides the facts.

use std::collections::BTreeMap;

use crate::derive;
use crate::entry::{Entry, HybridCacheEntry};
use crate::preset::{HybridCache, ModelShape, Preset, Runtime};
use crate::problem::Problem;
use crate::rules::Rules;
use crate::validate;
use crate::weights::Weights;

/// Facts about a model. The fields have the same meaning as in [`Preset`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Model hub repository, spelled as at the hub.
    pub hub_id: String,
    /// Commit that the preset is pinned to.
    pub revision: Option<String>,
    /// Commit at the head of the default branch, which the facts describe.
    pub head: Option<String>,
    /// License identifier; `unknown` if the hub has none.
    pub license: String,
    /// True if the hub requires an account that has accepted the license.
    pub gated: bool,
    /// Sizes for the estimate.
    pub shape: ModelShape,
    /// Bytes to download, if they differ from the bytes of the weights.
    pub download_bytes: Option<u64>,
    /// The vendor's own layout of the files, such as `mistral`.
    pub weights_format: Option<String>,
    /// The model's own code must be run to load it.
    pub trust_remote_code: bool,
}

/// Facts from which no preset can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// They break rules that every preset must keep.
    #[error("{}", .0.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Problem>),
    /// The rules that are part of the program are broken, which the tests of this crate exclude.
    #[error("the rules of the engine's flags are broken: {0}")]
    Rules(&'static str),
}

impl ModelFacts {
    /// The preset of the model: served by vLLM, may span nodes, cannot be tuned by its name alone.
    ///
    /// # Errors
    /// When the facts break a rule that every preset must keep.
    pub fn into_preset(self) -> Result<Preset, FactsError> {
        let rules = Rules::embedded().map_err(FactsError::Rules)?;
        let head = self.head.clone();
        let preset = Preset {
            head,
            ..derive::preset(self.into_entry(), rules)
        };
        let problems = validate::own_problems(&preset);
        if problems.is_empty() {
            Ok(preset)
        } else {
            Err(FactsError::Invalid(problems))
        }
    }

    fn into_entry(self) -> Entry {
        Entry {
            hub_id: self.hub_id,
            aliases: Vec::new(),
            overrides: false,
            revision: self.revision,
            license: self.license,
            gated: self.gated,
            deprecated: None,
            architecture: self.shape.architecture,
            attention: self.shape.attention,
            weights: Weights {
                bytes: self.shape.weights_bytes,
            },
            active_weights: self.shape.active_weights_bytes.map(|bytes| Weights { bytes }),
            download: self.download_bytes.map(|bytes| Weights { bytes }),
            max_context_tokens: self.shape.max_context_tokens,
            kv_bytes_per_token: self.shape.kv_bytes_per_token,
            layers: self.shape.layers,
            attention_heads: self.shape.attention_heads,
            kv_heads: self.shape.kv_heads,
            hybrid_cache: self.shape.hybrid_cache.map(hybrid_cache),
            quantization: self.shape.quantization,
            weights_format: self.weights_format,
            runtimes: vec![Runtime::Vllm],
            cpu: false,
            distributed: true,
            trust_remote_code: self.trust_remote_code,
            vllm_flags: BTreeMap::new(),
            tuning: None,
        }
    }
}

const fn hybrid_cache(cache: HybridCache) -> HybridCacheEntry {
    HybridCacheEntry {
        full_layers: cache.full_layers,
        window_layers: cache.window_layers,
        window_tokens: cache.window_tokens,
        state: Some(Weights {
            bytes: cache.state_bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    fn facts_of(preset: &Preset) -> ModelFacts {
        let flags = &preset.inference.as_ref().unwrap().vllm_flags;
        ModelFacts {
            hub_id: preset.hub_id.clone(),
            revision: preset.revision.clone(),
            head: None,
            license: preset.license.clone(),
            gated: preset.gated,
            shape: preset.shape.clone(),
            download_bytes: None,
            weights_format: Some(flags["load_format"].clone()).filter(|format| format != "auto"),
            trust_remote_code: preset.inference.as_ref().unwrap().trust_remote_code,
        }
    }

    #[test]
    fn the_facts_of_a_built_in_preset_give_that_preset() {
        let mut compared = 0;
        for expected in Catalog::embedded().unwrap().iter() {
            let Some(profile) = expected.inference.as_ref().filter(|profile| !profile.cpu) else {
                continue;
            };
            let actual = facts_of(expected).into_preset().unwrap();
            let derived = actual.inference.unwrap();
            assert_eq!(actual.shape, expected.shape);
            assert_eq!(derived.vllm_env, profile.vllm_env);
            compared += usize::from(
                derived.vllm_flags == profile.vllm_flags
                    && derived.disk_gib == profile.disk_gib
                    && derived.readiness_timeout_seconds == profile.readiness_timeout_seconds,
            );
        }
        assert!(compared >= 55, "only {compared} are equal");
    }

    #[test]
    fn rules_are_kept() {
        let mut facts = facts_of(Catalog::embedded().unwrap().find("phi-4").unwrap());
        facts.hub_id = "no slash".to_owned();
        facts.shape.weights_bytes = 0;
        let error = facts.into_preset().unwrap_err().to_string();
        assert!(
            error.contains("owner/repository") && error.contains("weights must be positive"),
            "{error}"
        );
    }
}
