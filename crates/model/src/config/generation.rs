//! `generation_config.json`: the model's sampling parameters and end-of-sequence tokens.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::CONFIG_BYTES;
use crate::error::Result;
use crate::read;

/// Defaults of requests; absent fields have no default of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationConfig {
    /// End-of-sequence tokens.
    pub eos_token_ids: Vec<u32>,
    /// False for greedy decoding.
    pub do_sample: Option<bool>,
    /// See [`crate::sampling::SamplingParams`].
    pub temperature: Option<f32>,
    /// See [`crate::sampling::SamplingParams`].
    pub top_p: Option<f32>,
    /// See [`crate::sampling::SamplingParams`].
    pub top_k: Option<usize>,
    /// See [`crate::sampling::SamplingParams`].
    pub repetition_penalty: Option<f32>,
}

#[derive(Default, Deserialize)]
struct File {
    eos_token_id: Option<Value>,
    do_sample: Option<bool>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<usize>,
    repetition_penalty: Option<f32>,
}

impl GenerationConfig {
    /// Reads `generation_config.json`; end-of-sequence tokens come from `config.json` if it has none.
    ///
    /// # Errors
    /// When a file is malformed; a missing `generation_config.json` is fine.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("generation_config.json");
        let file: File = if path.exists() {
            read::json(&path, CONFIG_BYTES)?
        } else {
            File::default()
        };
        let mut eos_token_ids = ids(file.eos_token_id.as_ref());
        if eos_token_ids.is_empty() {
            let config: Value = read::json(&dir.join("config.json"), CONFIG_BYTES)?;
            eos_token_ids = ids(config
                .get("eos_token_id")
                .or_else(|| config.get("text_config")?.get("eos_token_id")));
        }
        Ok(Self {
            eos_token_ids,
            do_sample: file.do_sample,
            temperature: file.temperature,
            top_p: file.top_p,
            top_k: file.top_k,
            repetition_penalty: file.repetition_penalty,
        })
    }
}

/// Reads one id or a list of ids.
fn ids(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}
