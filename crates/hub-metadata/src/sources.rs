//! All texts about a model, and the preset that they describe.

use preset_catalog::{ModelFacts, Preset};
use serde::{Deserialize, Serialize};

use crate::MetadataError;
use crate::config::{ModelConfig, max_length};
use crate::id::{HubId, Revision};

/// The texts about a model at one commit, from which its preset can be built again offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// `owner/repository` in the hub's spelling.
    pub id: String,
    /// The commit.
    pub revision: String,
    /// License identifier.
    pub license: String,
    /// Only accounts that accepted the license may read it.
    pub gated: bool,
    /// The weights are in Mistral's own layout.
    pub mistral: bool,
    /// Text of `config.json`, or of `params.json` in Mistral's own layout.
    pub config: String,
    /// Text of `generation_config.json`, which not every model has.
    pub generation_config: Option<String>,
    /// Bytes of all weights.
    pub weights_bytes: u64,
}

impl Sources {
    /// The preset of the model.
    ///
    /// # Errors
    /// The texts are malformed, lack a fact that sizing needs, or describe a model that cannot be served.
    pub fn preset(&self) -> Result<Preset, MetadataError> {
        let id = HubId::parse(&self.id)?;
        let revision = Revision::parse(&self.revision)?;
        let config = ModelConfig::parse(&self.config)?;
        let max_length = self.generation_config.as_deref().and_then(max_length);
        let fallback = self.mistral.then(|| mistral_architecture(id.repository()));
        let shape = config.shape(self.weights_bytes, max_length, fallback)?;
        let facts = ModelFacts {
            hub_id: id.as_str().to_owned(),
            revision: None,
            head: Some(revision.as_str().to_owned()),
            license: self.license.clone(),
            gated: self.gated,
            shape,
            download_bytes: None,
            weights_format: self.mistral.then(|| "mistral".to_owned()),
            // The engine has the architectures that are accepted here built in.
            trust_remote_code: false,
        };
        Ok(facts.into_preset()?)
    }
}

/// Mistral's own layout names no architecture.
fn mistral_architecture(repository: &str) -> &'static str {
    let name = repository.to_lowercase();
    if name.starts_with("mistral-large-3") {
        "MistralLarge3ForCausalLM"
    } else if name.starts_with("ministral-3") {
        "Mistral3ForConditionalGeneration"
    } else {
        "MistralForCausalLM"
    }
}

#[cfg(test)]
mod tests;
