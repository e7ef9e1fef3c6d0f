//! The user's `inference_config.yaml`: the flags that it sets, and what they change about the size of the model.
//!
//! The file is checked before nodes are bought. Its flags are rendered into the command line of the engine, so that a model
//! that runs does not depend on the file any more. Names of flags are a closed set: see `data/vllm_flags.yaml`.

mod error;
mod flags;
mod native;
mod sized;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::estimate::{EngineOptions, HostFormat};
use crate::preset::{Preset, Runtime};

pub use error::EngineConfigError;
use error::unknown_key;
use flags::{FlagKind, FlagTable};

/// Key of the ConfigMap with the file.
pub const INFERENCE_CONFIG_KEY: &str = "inference_config.yaml";
/// Maximum of the file, in bytes. A file of flags is a hundredth of it.
const MAX_BYTES: usize = 64 << 10;
/// Prefix of the flags that the wrapper of the base image keeps from vLLM.
const WRAPPER: &str = "kaito-";
/// Keys of the file.
const KEYS: [&str; 4] = ["vllm", "native", KV_CACHE_KEY, PROBE_KEY];
const KV_CACHE_KEY: &str = "kv_cache_cpu_memory_utilization";
const PROBE_KEY: &str = "max_probe_steps";

/// Treatment of flags that the built-in list does not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFlags {
    /// They are errors: the engine of the base image does not start with them.
    Refused,
    /// They are passed on: the image is the user's own.
    Passed,
}

/// A file that is understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineConfig {
    /// Flags of vLLM and of its wrapper by name, without dashes; an empty value is a bare flag.
    pub vllm: BTreeMap<String, String>,
    /// Flags of our inference server by name, without dashes.
    pub native: BTreeMap<String, String>,
    /// Effect of the flags of vLLM on the size.
    pub options: EngineOptions,
    /// Numbers of the weights that the flags of our inference server ask for.
    pub host: Option<HostFormat>,
    max_model_len: Option<u32>,
    native_context: Option<u32>,
}

impl EngineConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// With the first key that is unknown, malformed or not the user's to set.
    pub fn parse(text: &str, unknown: UnknownFlags) -> Result<Self, EngineConfigError> {
        if text.len() > MAX_BYTES {
            return Err(EngineConfigError::malformed(format!(
                "must have at most {MAX_BYTES} bytes"
            )));
        }
        let document: Value = serde_saphyr::from_str(text).map_err(|error| malformed_yaml(&error))?;
        let sections = match document {
            Value::Object(sections) => sections,
            Value::Null => return Ok(Self::default()),
            _ => return Err(EngineConfigError::malformed("must be a map")),
        };
        let mut config = Self::default();
        for (key, value) in &sections {
            match (key.as_str(), value) {
                (_, Value::Null) if KEYS.contains(&key.as_str()) => {}
                ("vllm", Value::Object(flags)) => config.read_vllm(flags, unknown)?,
                ("native", Value::Object(flags)) => config.read_native(flags)?,
                ("vllm" | "native", _) => {
                    return Err(EngineConfigError::malformed(format!("{key} must be a map")));
                }
                (KV_CACHE_KEY, _) => {
                    let share = sized::share(KV_CACHE_KEY, &word(KV_CACHE_KEY, value)?)?;
                    config.set_wrapper("kv-cache-cpu-memory-utilization", share);
                }
                (PROBE_KEY, _) => {
                    let steps = sized::whole(PROBE_KEY, &word(PROBE_KEY, value)?, 0)?;
                    config.set_wrapper("max-probe-steps", steps.to_string());
                }
                _ => return Err(unknown_key("key", key, KEYS.into_iter())),
            }
        }
        Ok(config)
    }

    /// Returns the longest context that the file asks for with this engine, in tokens; `None` leaves it to the engine.
    #[must_use]
    pub fn context_tokens(&self, engine: Runtime) -> Option<u32> {
        match engine {
            Runtime::Vllm => self.max_model_len,
            Runtime::Native => self.native_context.or(self.max_model_len),
        }
    }

    /// Checks the file against the model.
    ///
    /// # Errors
    /// With the first flag that the model cannot have.
    pub fn check(&self, preset: &Preset, engine: Runtime) -> Result<(), EngineConfigError> {
        let limit = preset.shape.max_context_tokens;
        if let Some(tokens) = self.context_tokens(engine).filter(|tokens| *tokens > limit) {
            return Err(EngineConfigError::malformed(format!(
                "a context of {tokens} tokens is longer than the {limit} of preset {}",
                preset.name
            )));
        }
        if engine != Runtime::Vllm {
            return Ok(());
        }
        let published = preset.shape.quantization.as_deref();
        if let (Some(published), Some(asked)) = (published, self.vllm.get("quantization"))
            && sized::family(published) != sized::family(asked)
        {
            return Err(EngineConfigError::malformed(format!(
                "vllm.quantization is {asked}, and the weights of preset {} are quantized by {published} already",
                preset.name
            )));
        }
        if self.vllm.contains_key("trust-remote-code") && preset.revision.is_none() {
            let why = "the model is at no fixed commit, and code that may change would run";
            return Err(EngineConfigError::refused("trust-remote-code", why));
        }
        Ok(())
    }

    fn read_vllm(
        &mut self,
        flags: &serde_json::Map<String, Value>,
        unknown: UnknownFlags,
    ) -> Result<(), EngineConfigError> {
        let table = FlagTable::embedded().map_err(EngineConfigError::malformed)?;
        for (key, value) in flags {
            let name = flags::normalized(key);
            let place = format!("vllm.{name}");
            let text = word(&place, value)?;
            let kind = match table.kind(&name) {
                Some(FlagKind::Refused(why)) => return Err(EngineConfigError::refused(&name, why)),
                _ if name.starts_with(WRAPPER) => {
                    let why = "the operator starts the engine; use the keys beside vllm";
                    return Err(EngineConfigError::refused(&name, why));
                }
                Some(kind) => kind,
                None if unknown == UnknownFlags::Refused => {
                    return Err(unknown_key("flag vllm.", &name, table.settable()));
                }
                None => FlagKind::guessed(value),
            };
            flags::check_draft(&name, &text)?;
            let (name, text) = kind.rendered(&name, text)?;
            if self.vllm.insert(name.clone(), text).is_some() {
                return Err(EngineConfigError::malformed(format!("vllm.{name} is set twice")));
            }
        }
        (self.options, self.max_model_len) = sized::options(&self.vllm)?;
        Ok(())
    }

    fn read_native(&mut self, flags: &serde_json::Map<String, Value>) -> Result<(), EngineConfigError> {
        for (key, value) in flags {
            let text = word(&format!("native.{key}"), value)?;
            native::check(key, &text)?;
            self.native.insert(key.clone(), text);
        }
        let context = self.native.get("max-context-tokens");
        self.host = self
            .native
            .get("dtype")
            .and_then(|text| HostFormat::of_dtype(text));
        self.native_context = context.and_then(|tokens| tokens.parse().ok());
        Ok(())
    }

    fn set_wrapper(&mut self, name: &str, value: String) {
        self.vllm.insert(format!("{WRAPPER}{name}"), value);
    }
}

/// Returns a single value as the text that a command line has.
fn word(place: &str, value: &Value) -> Result<String, EngineConfigError> {
    match value {
        Value::Bool(true) => Ok("True".to_owned()),
        Value::Bool(false) => Ok("False".to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Null => Err(EngineConfigError::malformed(format!("{place} must have a value"))),
        Value::Array(_) | Value::Object(_) => Err(EngineConfigError::malformed(format!(
            "{place} must be one value; nested ones are written as JSON in quotes"
        ))),
    }
}

/// The first line of the parser's message: the others show the file.
fn malformed_yaml(error: &serde_saphyr::Error) -> EngineConfigError {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    EngineConfigError::malformed(format!("must be YAML: {line}"))
}

#[cfg(test)]
mod tests;
