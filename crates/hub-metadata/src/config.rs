//! `config.json` (or `params.json` of Mistral's own layout): the shape of a model.
//!
//! The keys and their order are those of KAITO 0.12's catalog generator. Where layers differ in what they keep of
//! the context, all are counted as keeping the whole, which is the safe side.

use std::collections::BTreeMap;
use std::fmt;

use preset_catalog::{AttentionKind, ModelShape};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::MetadataError;
use crate::id::shown;
use crate::lenient::{Scalar, Texts, standard};

const FILE: &str = "config.json";

const CONTEXT: &[&str] = &[
    "max_position_embeddings",
    "n_ctx",
    "seq_length",
    "max_seq_len",
    "max_sequence_length",
    "model_max_length",
];
const HIDDEN: &[&str] = &["hidden_size", "n_embd", "d_model", "dim"];
const LAYERS: &[&str] = &["num_hidden_layers", "n_layer", "n_layers"];
const HEADS: &[&str] = &["num_attention_heads", "n_head", "n_heads"];
const KV_HEADS: &[&str] = &["num_key_value_heads", "n_head_kv", "n_kv_heads"];
const HEAD_SIZE: &[&str] = &["head_dim", "attention_head_dim"];
const MULTI_QUERY: &str = "multi_query";
const LATENT: &str = "kv_lora_rank";
const ROPE: &str = "qk_rope_head_dim";
const ENCODER_DECODER: &str = "is_encoder_decoder";
/// Keys with the method, in order of preference.
const QUANTIZATION: &[&str] = &["format", "quant_algo", "quant_method"];

/// Context of a model without a stated limit, in tokens.
const UNKNOWN_CONTEXT: u32 = 2048;
/// The default `max_length` of generation_config.json, which is no property of the model.
const UNSET_MAX_LENGTH: u64 = 20;

// Users pay for nodes of this size, so a hub's word has bounds well above every known model.
const MAX_LAYERS: u64 = 1_000;
/// Largest number of heads, head sizes and the like.
const MAX_WIDTH: u64 = 1 << 18;
/// Most bytes of all weights.
const MAX_WEIGHTS_BYTES: u64 = 4 << 40;
/// Most bytes of the context cache for one token.
const MAX_KV_BYTES_PER_TOKEN: u64 = 64 << 20;

/// The keys to read, at the top or in the part about the language model.
#[derive(Debug, Default)]
pub(crate) struct ModelConfig {
    architectures: Vec<String>,
    values: BTreeMap<String, Scalar>,
    quantization: Option<BTreeMap<String, Scalar>>,
}

impl ModelConfig {
    /// Reads the text of a config.json.
    pub(crate) fn parse(text: &str) -> Result<Self, MetadataError> {
        serde_json::from_slice(&standard(text.as_bytes())).map_err(|error| MetadataError::Malformed {
            file: FILE,
            message: error.to_string(),
        })
    }

    /// Builds the shape of a model with these weights. `max_length` is that of generation_config.json.
    pub(crate) fn shape(
        &self,
        weights_bytes: u64,
        max_length: Option<u64>,
        fallback_architecture: Option<&str>,
    ) -> Result<ModelShape, MetadataError> {
        let layers = self.need(LAYERS, "the number of layers", MAX_LAYERS)?;
        let heads = self.need(HEADS, "the number of attention heads", MAX_WIDTH)?;
        let attention = self.attention(heads)?;
        let kv_bytes = layers
            .saturating_mul(attention.elements)
            .saturating_mul(BYTES_PER_ELEMENT);
        Ok(ModelShape {
            architecture: self.architecture(fallback_architecture)?,
            attention: Some(attention.kind),
            weights_bytes: plausible(
                "the weight files",
                weights_bytes,
                "the total size in bytes",
                MAX_WEIGHTS_BYTES,
            )?,
            active_weights_bytes: None,
            max_context_tokens: self.context(max_length),
            kv_bytes_per_token: checked(
                kv_bytes,
                "the bytes of context for one token",
                MAX_KV_BYTES_PER_TOKEN,
            )?,
            quantization: self.quantization_method(),
            layers: u32::try_from(layers).ok(),
            attention_heads: u32::try_from(heads).ok(),
            kv_heads: attention.kv_heads,
            hybrid_cache: None,
        })
    }

    fn attention(&self, heads: u64) -> Result<Attention, MetadataError> {
        if let Some(latent) = self.first(&[LATENT]) {
            let latent = checked(latent, "the size of the latent vector", MAX_WIDTH)?;
            let rope = self.need(&[ROPE], "the size of the rotary part", MAX_WIDTH)?;
            return Ok(Attention {
                kind: AttentionKind::Mla,
                elements: latent + rope,
                kv_heads: None,
            });
        }
        let kv_heads = match self.first(KV_HEADS) {
            Some(kv_heads) => checked(kv_heads, "the number of key and value heads", heads)?,
            None if self.values.get(MULTI_QUERY).is_some_and(Scalar::is_true) => 1,
            None => heads,
        };
        let size = match self.first(HEAD_SIZE) {
            Some(size) => size,
            None => self.need(HIDDEN, "the size of a hidden layer", MAX_WIDTH)? / heads,
        };
        let kind = match kv_heads {
            all if all == heads => AttentionKind::Mha,
            1 => AttentionKind::Mqa,
            _ => AttentionKind::Gqa,
        };
        Ok(Attention {
            kind,
            elements: 2 * kv_heads * checked(size, "the size of a head", MAX_WIDTH)?,
            kv_heads: u32::try_from(kv_heads).ok(),
        })
    }

    fn context(&self, max_length: Option<u64>) -> u32 {
        let stated = CONTEXT.iter().filter_map(|key| self.values.get(*key)?.whole());
        let generated = max_length.filter(|length| *length > UNSET_MAX_LENGTH);
        stated
            .chain(generated)
            .find_map(|tokens| u32::try_from(tokens).ok().filter(|tokens| *tokens > 0))
            .unwrap_or(UNKNOWN_CONTEXT)
    }

    fn architecture(&self, fallback: Option<&str>) -> Result<String, MetadataError> {
        let stated = self.architectures.first().map(String::as_str);
        let architecture = stated.or(fallback).ok_or(MetadataError::Missing {
            file: FILE,
            what: "the architecture",
        })?;
        let two_towers = self.values.get(ENCODER_DECODER).is_some_and(Scalar::is_true);
        if two_towers || !is_generative(architecture) {
            return Err(MetadataError::NotGenerative(shown(architecture)));
        }
        Ok(architecture.to_owned())
    }

    fn quantization_method(&self) -> Option<String> {
        let parameters = self.quantization.as_ref()?;
        let named = QUANTIZATION.iter().find_map(|key| parameters.get(*key)?.text());
        // A model without a named method is still quantized.
        Some(named.map_or_else(|| "unknown".to_owned(), shown))
    }

    fn first(&self, keys: &[&str]) -> Option<u64> {
        keys.iter().find_map(|key| self.values.get(*key)?.whole())
    }

    fn need(&self, keys: &[&str], what: &'static str, most: u64) -> Result<u64, MetadataError> {
        let value = self
            .first(keys)
            .ok_or(MetadataError::Missing { file: FILE, what })?;
        checked(value, what, most)
    }
}

/// The elements that a layer keeps for one token.
struct Attention {
    kind: AttentionKind,
    elements: u64,
    kv_heads: Option<u32>,
}

const BYTES_PER_ELEMENT: u64 = 2;

fn checked(value: u64, what: &'static str, most: u64) -> Result<u64, MetadataError> {
    plausible(FILE, value, what, most)
}

fn plausible(file: &'static str, value: u64, what: &'static str, most: u64) -> Result<u64, MetadataError> {
    if (1..=most).contains(&value) {
        Ok(value)
    } else {
        Err(MetadataError::Absurd {
            file,
            what,
            value,
            most,
        })
    }
}

/// Reports whether an architecture generates text, by its usual names. Embedders and classifiers have others.
fn is_generative(architecture: &str) -> bool {
    const ENDINGS: [&str; 4] = [
        "ForCausalLM",
        "ForConditionalGeneration",
        "LMHeadModel",
        "ChatModel",
    ];
    // Models of the catalog with other names.
    const NAMES: [&str; 3] = ["NemotronH_Nano_VL_V2", "ChatGLMModel", "InternVLChatModel"];
    let is_name = !architecture.is_empty()
        && architecture.len() <= 128
        && architecture
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name && (ENDINGS.iter().any(|ending| architecture.ends_with(ending)) || NAMES.contains(&architecture))
}

/// Reads `max_length` of a generation_config.json; `None` for a malformed text.
pub(crate) fn max_length(text: &str) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct GenerationConfig {
        #[serde(default)]
        max_length: Scalar,
    }
    let parsed: Result<GenerationConfig, _> = serde_json::from_slice(&standard(text.as_bytes()));
    parsed.ok()?.max_length.whole()
}

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = ModelConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelConfig, A::Error> {
        let mut config = ModelConfig::default();
        let mut parts: [Option<ConfigPart>; 2] = [None, None];
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "architectures" => config.architectures = map.next_value::<Texts>()?.0,
                "quantization_config" => config.quantization = map.next_value::<ConfigPart>()?.0,
                "text_config" => parts[0] = Some(map.next_value()?),
                "llm_config" => parts[1] = Some(map.next_value()?),
                key if is_wanted(key) => {
                    let value = map.next_value()?;
                    config.values.insert(key.to_owned(), value);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let part = parts.into_iter().flatten().find_map(|part| part.0);
        for (key, value) in part.into_iter().flatten() {
            let stated = config.values.entry(key).or_default();
            if *stated == Scalar::Other {
                *stated = value;
            }
        }
        Ok(config)
    }
}

/// The keys of a nested object; nothing for another type.
struct ConfigPart(Option<BTreeMap<String, Scalar>>);

impl<'de> Deserialize<'de> for ConfigPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = ConfigPart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or null")
            }

            fn visit_unit<E>(self) -> Result<ConfigPart, E> {
                Ok(ConfigPart(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigPart, A::Error> {
                let mut values = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if is_wanted(&key) || QUANTIZATION.contains(&key.as_str()) {
                        values.insert(key, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(ConfigPart(Some(values)))
            }
        }
        deserializer.deserialize_any(Object)
    }
}

fn is_wanted(key: &str) -> bool {
    let lists = [CONTEXT, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_SIZE];
    lists.iter().any(|list| list.contains(&key))
        || [MULTI_QUERY, LATENT, ROPE, ENCODER_DECODER].contains(&key)
}

#[cfg(test)]
mod tests;
