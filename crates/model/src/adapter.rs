//! LoRA adapters as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! An adapter changes a weight by `strength · scale · B A`. Merged into the weights, the model runs as fast as without; see
//! `lora` for adapters that stay beside them.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::read;
use crate::weights::TensorStore;

/// Largest `adapter_config.json`, in bytes.
const CONFIG_BYTES: u64 = 4 << 20;
/// Largest rank: above it the factors are no smaller than the weight.
const RANK: usize = 4096;
/// What PEFT writes before the name of each module.
const PREFIX: &str = "base_model.model.";

/// Changes to some weights of a model.
#[derive(Debug)]
pub struct Adapter {
    name: String,
    strength: f32,
    modules: BTreeMap<String, Factors>,
}

#[derive(Debug)]
struct Factors {
    rank: usize,
    scale: f32,
    /// `[rank, inputs]`.
    a: Vec<f32>,
    /// `[outputs, rank]`.
    b: Vec<f32>,
}

/// Factors of one module whose product is all that the adapter adds to it.
#[derive(Debug)]
pub(crate) struct Scaled<'a> {
    pub(crate) rank: usize,
    /// `[rank, inputs]`.
    pub(crate) a: &'a [f32],
    /// `[outputs, rank]`.
    pub(crate) b: Vec<f32>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    peft_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
}

impl Adapter {
    /// Reads an adapter's directory; its name is that of the directory.
    ///
    /// # Errors
    /// When files are missing or malformed, or the adapter is of a kind that cannot be merged.
    pub fn open(dir: &Path, strength: f32) -> Result<Self> {
        let name = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let config: Config = read::json(&dir.join("adapter_config.json"), CONFIG_BYTES)?;
        let mut adapter = Self {
            name,
            strength,
            modules: BTreeMap::new(),
        };
        adapter.check(&config)?;
        let store = TensorStore::of_file(dir, "adapter_model.safetensors")?;
        for tensor in store.names() {
            match tensor.strip_suffix(".lora_A.weight") {
                Some(path) => {
                    let module = path.strip_prefix(PREFIX).unwrap_or(path).to_owned();
                    let factors = adapter.factors(&config, &store, path, &module)?;
                    adapter.modules.insert(module, factors);
                }
                None if tensor.ends_with(".lora_B.weight") => {}
                None => {
                    return Err(
                        adapter.error(format!("tensor `{tensor}` is no LoRA factor of a linear module"))
                    );
                }
            }
        }
        if adapter.modules.is_empty() {
            return Err(adapter.error("holds no factors".to_owned()));
        }
        Ok(adapter)
    }

    /// Name of the directory it came from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Modules it changes, as full names in the model.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    pub(crate) fn error(&self, problem: String) -> Error {
        Error::Adapter {
            name: self.name.clone(),
            problem,
        }
    }

    /// A module that the model does not have: without an error it would do nothing, silently.
    pub(crate) fn stranger(&self, module: &str) -> Error {
        self.error(format!(
            "module `{module}` is not in this model: it was trained for another one"
        ))
    }

    fn check(&self, config: &Config) -> Result<()> {
        let refused = [
            (
                config.peft_type.as_deref().is_some_and(|kind| kind != "LORA"),
                "only peft_type LORA can be merged",
            ),
            (config.use_dora, "use_dora is not supported"),
            (config.fan_in_fan_out, "fan_in_fan_out is not supported"),
            (
                config.bias.as_deref().is_some_and(|bias| bias != "none"),
                "trained biases are not supported",
            ),
            (config.r == 0 || config.r > RANK, "r is out of bounds"),
            (!config.lora_alpha.is_finite(), "lora_alpha is no number"),
            (!self.strength.is_finite(), "the strength is no number"),
        ];
        match refused.iter().find(|(is_so, _)| *is_so) {
            Some((_, problem)) => Err(self.error((*problem).to_owned())),
            None => Ok(()),
        }
    }

    fn factors(&self, config: &Config, store: &TensorStore, path: &str, module: &str) -> Result<Factors> {
        let (a_name, b_name) = (format!("{path}.lora_A.weight"), format!("{path}.lora_B.weight"));
        let a_shape = store.shape(&a_name)?;
        let b_shape = store
            .shape(&b_name)
            .map_err(|_| self.error(format!("tensor `{a_name}` is there without `{b_name}`")))?;
        let ([rank, _], [_, b_rank]) = (a_shape.as_slice(), b_shape.as_slice()) else {
            return Err(self.error(format!("factors of `{module}` are no matrices")));
        };
        let expected = pattern(&config.rank_pattern, module).unwrap_or(config.r);
        if rank != b_rank || *rank != expected {
            return Err(self.error(format!(
                "factors of `{module}` have ranks {rank} and {b_rank}, {expected} is configured"
            )));
        }
        if expected == 0 || expected > RANK {
            return Err(self.error(format!("the rank of `{module}` is out of bounds")));
        }
        let alpha = pattern(&config.alpha_pattern, module).unwrap_or(config.lora_alpha);
        let divisor = if config.use_rslora {
            (*rank as f64).sqrt()
        } else {
            *rank as f64
        };
        Ok(Factors {
            rank: *rank,
            scale: (alpha / divisor) as f32,
            a: store.read(&a_name)?.into_f32(),
            b: store.read(&b_name)?.into_f32(),
        })
    }

    /// Adds the change of `module`, if there is one, to its weight.
    pub(crate) fn merge(
        &self,
        module: &str,
        weight: &mut [f32],
        outputs: usize,
        inputs: usize,
    ) -> Result<()> {
        let Some(factors) = self.fitting(module, outputs, inputs)? else {
            return Ok(());
        };
        let rows = weight
            .par_chunks_mut(inputs)
            .zip(factors.b.par_chunks(factors.rank));
        rows.for_each(|(row, b)| {
            for (b, a) in b.iter().zip(factors.a.chunks(inputs)) {
                let factor = self.strength * factors.scale * b;
                row.iter_mut()
                    .zip(a)
                    .for_each(|(weight, a)| *weight += factor * a);
            }
        });
        Ok(())
    }

    /// The factors of `module` with everything multiplied in, if the adapter changes it.
    pub(crate) fn scaled(&self, module: &str, outputs: usize, inputs: usize) -> Result<Option<Scaled<'_>>> {
        let factors = self.fitting(module, outputs, inputs)?;
        Ok(factors.map(|factors| {
            let scale = self.strength * factors.scale;
            Scaled {
                rank: factors.rank,
                a: &factors.a,
                b: factors.b.iter().map(|b| scale * b).collect(),
            }
        }))
    }

    fn fitting(&self, module: &str, outputs: usize, inputs: usize) -> Result<Option<&Factors>> {
        let Some(factors) = self.modules.get(module) else {
            return Ok(None);
        };
        if factors.a.len() != factors.rank * inputs || factors.b.len() != outputs * factors.rank {
            return Err(self.error(format!(
                "factors of `{module}` do not fit a weight of {outputs} × {inputs}"
            )));
        }
        Ok(Some(factors))
    }
}

/// The value of the first pattern that is the end of the module's name, at a dot.
fn pattern<T: Copy>(patterns: &BTreeMap<String, T>, module: &str) -> Option<T> {
    let matches = |pattern: &str| {
        let pattern = pattern
            .trim_start_matches('^')
            .trim_start_matches(".*")
            .trim_end_matches('$')
            .replace("\\.", ".");
        module
            .strip_suffix(&pattern)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.') || pattern.starts_with('.'))
    };
    patterns
        .iter()
        .find(|(name, _)| matches(name))
        .map(|(_, value)| *value)
}
