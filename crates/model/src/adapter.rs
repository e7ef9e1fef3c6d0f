//! LoRA adapters as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! An adapter changes a weight by `strength · scaling · B A`. Merged into the weights it costs no time; see `lora` for adapters beside
//! the weights.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::read;
use crate::weights::TensorStore;

/// Largest `adapter_config.json`, in bytes.
const CONFIG_BYTES: u64 = 4 << 20;
/// Largest rank: above it the LoRA matrices are no smaller than the weight.
const RANK: usize = 4096;
/// Prefix of PEFT before the name of each module.
const PREFIX: &str = "base_model.model.";

/// Changes to some weights of a model.
#[derive(Debug)]
pub struct Adapter {
    name: String,
    strength: f32,
    modules: BTreeMap<String, LoraMatrices>,
}

#[derive(Debug)]
struct LoraMatrices {
    rank: usize,
    scaling: f32,
    /// `[rank, inputs]`.
    lora_a: Vec<f32>,
    /// `[outputs, rank]`.
    lora_b: Vec<f32>,
}

/// LoRA matrices of one module with all factors multiplied in.
#[derive(Debug)]
pub(crate) struct ScaledLoraMatrices<'a> {
    pub(crate) rank: usize,
    /// `[rank, inputs]`.
    pub(crate) lora_a: &'a [f32],
    /// `[outputs, rank]`.
    pub(crate) lora_b: Vec<f32>,
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
    /// When files are missing or malformed, or the kind of adapter is not supported.
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
                    let matrices = adapter.matrices(&config, &store, path, &module)?;
                    adapter.modules.insert(module, matrices);
                }
                None if tensor.ends_with(".lora_B.weight") => {}
                None => {
                    return Err(adapter.error(format!(
                        "unknown tensor `{tensor}`: expected LoRA matrices of linear modules"
                    )));
                }
            }
        }
        if adapter.modules.is_empty() {
            return Err(adapter.error("must hold LoRA matrices".to_owned()));
        }
        Ok(adapter)
    }

    /// Name of the adapter's directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Full names of the changed modules.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    pub(crate) fn error(&self, problem: String) -> Error {
        Error::Adapter {
            name: self.name.clone(),
            problem,
        }
    }

    /// Error for a module that the model lacks, which would otherwise have no effect.
    pub(crate) fn unknown_module(&self, module: &str) -> Error {
        self.error(format!(
            "module `{module}` is not in this model: it was trained for another one"
        ))
    }

    fn check(&self, config: &Config) -> Result<()> {
        let refused = [
            (
                config.peft_type.as_deref().is_some_and(|kind| kind != "LORA"),
                "peft_type must be LORA",
            ),
            (config.use_dora, "use_dora must be false"),
            (config.fan_in_fan_out, "fan_in_fan_out must be false"),
            (
                config.bias.as_deref().is_some_and(|bias| bias != "none"),
                "bias must be none",
            ),
            (
                config.r == 0 || config.r > RANK,
                "r is out of bounds: it must be from 1 to 4096",
            ),
            (!config.lora_alpha.is_finite(), "lora_alpha must be finite"),
            (!self.strength.is_finite(), "the strength must be finite"),
        ];
        match refused.iter().find(|(is_so, _)| *is_so) {
            Some((_, problem)) => Err(self.error((*problem).to_owned())),
            None => Ok(()),
        }
    }

    fn matrices(
        &self,
        config: &Config,
        store: &TensorStore,
        path: &str,
        module: &str,
    ) -> Result<LoraMatrices> {
        let (a_name, b_name) = (format!("{path}.lora_A.weight"), format!("{path}.lora_B.weight"));
        let a_shape = store.shape(&a_name)?;
        let b_shape = store
            .shape(&b_name)
            .map_err(|_| self.error(format!("tensor `{a_name}` must come with `{b_name}`")))?;
        let ([rank, _], [_, b_rank]) = (a_shape.as_slice(), b_shape.as_slice()) else {
            return Err(self.error(format!("LoRA tensors of `{module}` must be matrices")));
        };
        let expected = pattern(&config.rank_pattern, module).unwrap_or(config.r);
        if rank != b_rank || *rank != expected {
            return Err(self.error(format!(
                "LoRA matrices of `{module}` must have rank {expected}, got {rank} and {b_rank}"
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
        Ok(LoraMatrices {
            rank: *rank,
            scaling: (alpha / divisor) as f32,
            lora_a: store.read(&a_name)?.into_f32(),
            lora_b: store.read(&b_name)?.into_f32(),
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
        let Some(matrices) = self.fitting(module, outputs, inputs)? else {
            return Ok(());
        };
        let rows = weight
            .par_chunks_mut(inputs)
            .zip(matrices.lora_b.par_chunks(matrices.rank));
        rows.for_each(|(row, b)| {
            for (b, a) in b.iter().zip(matrices.lora_a.chunks(inputs)) {
                let factor = self.strength * matrices.scaling * b;
                row.iter_mut()
                    .zip(a)
                    .for_each(|(weight, a)| *weight += factor * a);
            }
        });
        Ok(())
    }

    /// Returns the LoRA matrices of `module` with all factors multiplied in, if the adapter changes it.
    pub(crate) fn scaled(
        &self,
        module: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<Option<ScaledLoraMatrices<'_>>> {
        let matrices = self.fitting(module, outputs, inputs)?;
        Ok(matrices.map(|matrices| {
            let scale = self.strength * matrices.scaling;
            ScaledLoraMatrices {
                rank: matrices.rank,
                lora_a: &matrices.lora_a,
                lora_b: matrices.lora_b.iter().map(|b| scale * b).collect(),
            }
        }))
    }

    fn fitting(&self, module: &str, outputs: usize, inputs: usize) -> Result<Option<&LoraMatrices>> {
        let Some(matrices) = self.modules.get(module) else {
            return Ok(None);
        };
        if matrices.lora_a.len() != matrices.rank * inputs || matrices.lora_b.len() != outputs * matrices.rank
        {
            return Err(self.error(format!(
                "LoRA matrices of `{module}` do not fit a weight of {outputs} × {inputs}"
            )));
        }
        Ok(Some(matrices))
    }
}

/// Returns the value of the first pattern that ends the module's name at a dot.
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
