//! The facts about a model that is in no catalogue, and the preset that follows by the catalogue's rules.
//!
//! Where the facts come from is somebody else's business.

use std::collections::BTreeMap;

use crate::derive;
use crate::entry::Entry;
use crate::preset::{AttentionKind, Preset, Runtime};
use crate::rules::Rules;
use crate::validate::{self, Problem};
use crate::weights::Weights;

/// What is known about a model. The fields have the meaning they have in [`Preset`] and
/// [`ModelShape`](crate::ModelShape).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFacts {
    /// Model hub repository in the hub's spelling.
    pub hub_id: String,
    /// Commit that the facts are of.
    pub revision: Option<String>,
    /// Licence identifier; `unknown` when the hub does not say.
    pub license: String,
    /// The hub asks for an account that accepted the licence.
    pub gated: bool,
    /// First entry of `architectures`.
    pub architecture: String,
    /// How heads share keys and values.
    pub attention: Option<AttentionKind>,
    /// Bytes of all weight files.
    pub weights_bytes: u64,
    /// Longest context in tokens.
    pub max_context_tokens: u32,
    /// Bytes of key and value cache for one token.
    pub kv_bytes_per_token: u64,
    /// Quantisation method of the weights.
    pub quantization: Option<String>,
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
    /// The preset of the model: served by vLLM, may span nodes, can't be tuned by its name alone.
    ///
    /// # Errors
    /// When the facts break a rule that every preset must keep.
    pub fn into_preset(self) -> Result<Preset, FactsError> {
        let rules = Rules::embedded().map_err(FactsError::Rules)?;
        let preset = derive::preset(self.into_entry(), rules);
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
            architecture: self.architecture,
            attention: self.attention,
            weights: Weights {
                bytes: self.weights_bytes,
            },
            max_context_tokens: self.max_context_tokens,
            kv_bytes_per_token: self.kv_bytes_per_token,
            quantization: self.quantization,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    fn facts_of(preset: &Preset) -> ModelFacts {
        let flags = &preset.inference.as_ref().unwrap().vllm_flags;
        ModelFacts {
            hub_id: preset.hub_id.clone(),
            revision: preset.revision.clone(),
            license: preset.license.clone(),
            gated: preset.gated,
            architecture: preset.shape.architecture.clone(),
            attention: preset.shape.attention,
            weights_bytes: preset.shape.weights_bytes,
            max_context_tokens: preset.shape.max_context_tokens,
            kv_bytes_per_token: preset.shape.kv_bytes_per_token,
            quantization: preset.shape.quantization.clone(),
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
            assert_eq!(derived.disk_gib, profile.disk_gib);
            assert_eq!(
                derived.readiness_timeout_seconds,
                profile.readiness_timeout_seconds
            );
            assert_eq!(derived.vllm_env, profile.vllm_env);
            compared += usize::from(derived.vllm_flags == profile.vllm_flags);
        }
        assert!(compared >= 55, "only {compared} have the same flags");
    }

    #[test]
    fn rules_are_kept() {
        let mut facts = facts_of(Catalog::embedded().unwrap().find("phi-4").unwrap());
        facts.hub_id = "no slash".to_owned();
        facts.weights_bytes = 0;
        let error = facts.into_preset().unwrap_err().to_string();
        assert!(
            error.contains("owner/repository") && error.contains("weights is zero"),
            "{error}"
        );
    }
}
