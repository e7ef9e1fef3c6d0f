//! The adapter's files as PEFT reads them, and the marker that says they are whole.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use serde_json::{Value, json};

use crate::network::Module;

/// What is written last, and what a pusher waits for.
pub const MARKER: &str = "fine_tuning_completed.txt";
/// What is written when there will be no result; a pusher gives up then.
const FAILURE: &str = "fine_tuning_failed.txt";
/// What PEFT writes before the name of each module.
const PREFIX: &str = "base_model.model.";

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// By the file system.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// By the format.
    #[error("the adapter cannot be written as safetensors: {0}")]
    Format(String),
}

impl OutputError {
    pub(super) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

/// What `adapter_config.json` says beside what never changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterConfig {
    /// The model it was trained for.
    pub base_model: String,
    /// Rank.
    pub r: usize,
    /// Alpha.
    pub alpha: f64,
    /// Share of inputs that were dropped.
    pub dropout: f64,
    /// Trained modules.
    pub targets: Vec<String>,
    /// Ranks of some modules.
    pub rank_pattern: std::collections::BTreeMap<String, usize>,
    /// Alphas of some modules.
    pub alpha_pattern: std::collections::BTreeMap<String, f64>,
    /// Trained layers; all when absent.
    pub layers: Option<Vec<usize>>,
    /// Alpha was divided by the root of the rank.
    pub rslora: bool,
}

impl AdapterConfig {
    /// The file's content, with the fields of PEFT 0.21.
    #[must_use]
    pub fn json(&self) -> Value {
        // PEFT reads alpha as a whole number where it is one.
        let alpha = if self.alpha.fract() == 0.0 {
            json!(self.alpha as i64)
        } else {
            json!(self.alpha)
        };
        json!({
            "alpha_pattern": self.alpha_pattern, "auto_mapping": null, "base_model_name_or_path": self.base_model,
            "bias": "none", "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
            "layer_replication": null, "layers_pattern": null, "layers_to_transform": self.layers, "loftq_config": {},
            "lora_alpha": alpha, "lora_bias": false, "lora_dropout": self.dropout, "megatron_config": null,
            "megatron_core": "megatron.core", "modules_to_save": null, "peft_type": "LORA", "r": self.r,
            "rank_pattern": self.rank_pattern, "revision": null, "target_modules": self.targets, "task_type": "CAUSAL_LM",
            "use_dora": false, "use_rslora": self.rslora,
        })
    }
}

/// Writes `adapter_model.safetensors`, `adapter_config.json` and `README.md`, each whole or not at all.
///
/// # Errors
/// When a file cannot be written.
pub fn save_adapter(
    dir: &Path,
    config: &AdapterConfig,
    modules: &[Module],
    values: &[f32],
) -> Result<(), OutputError> {
    fs::create_dir_all(dir).map_err(OutputError::write(dir))?;
    let mut parts = Vec::with_capacity(2 * modules.len());
    for module in modules {
        let a = (module.a, vec![module.rank, module.inputs]);
        let b = (module.b, vec![module.outputs, module.rank]);
        for (letter, (start, shape)) in [("A", a), ("B", b)] {
            let count: usize = shape.iter().product();
            let name = format!("{PREFIX}{}.lora_{letter}.weight", module.name);
            parts.push((name, shape, bytes(&values[start..start + count])));
        }
    }
    write(&dir.join("adapter_model.safetensors"), &tensors(&parts)?)?;
    let text = serde_json::to_string_pretty(&config.json())
        .map_err(|error| OutputError::Format(error.to_string()))?;
    write(&dir.join("adapter_config.json"), text.as_bytes())?;
    write(&dir.join("README.md"), readme(config).as_bytes())
}

/// Named tensors in the safetensors format, marked as PEFT marks them.
pub(super) fn tensors(parts: &[(String, Vec<usize>, Vec<u8>)]) -> Result<Vec<u8>, OutputError> {
    let failed = |error: safetensors::SafeTensorError| OutputError::Format(error.to_string());
    let mut views = Vec::with_capacity(parts.len());
    for (name, shape, bytes) in parts {
        views.push((
            name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(failed)?,
        ));
    }
    let about = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
    safetensors::serialize(views, Some(about)).map_err(failed)
}

pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn readme(config: &AdapterConfig) -> String {
    let base = &config.base_model;
    format!(
        "---\nbase_model: {base}\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- base_model:adapter:{base}\n- lora\n---\n\n\
         A LoRA adapter for `{base}`, rank {}, alpha {}, modules {}.\n",
        config.r,
        config.alpha,
        config.targets.join(", ")
    )
}

/// Writes a file beside its place and moves it there, so that nobody reads a part of it.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), OutputError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let aside = path.with_file_name(name);
    let written = fs::File::create(&aside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&aside, path))
        .map_err(OutputError::write(path))
}

/// Says that everything is there. `now` is civil time as `YYYY-MM-DD-HH-MM-SS`.
///
/// # Errors
/// When the marker cannot be written.
pub fn complete(dir: &Path, now: &str) -> Result<(), OutputError> {
    write(
        &dir.join(MARKER),
        format!("Fine-Tuning completed at {now}").as_bytes(),
    )
}

/// Says that there will be no result, and why.
///
/// # Errors
/// When the marker cannot be written.
pub fn fail(dir: &Path, reason: &str) -> Result<(), OutputError> {
    write(&dir.join(FAILURE), reason.as_bytes())
}

/// Takes the markers of an earlier run away: a pusher would take them for this run's.
///
/// # Errors
/// When one cannot be removed.
pub fn withdraw(dir: &Path) -> Result<(), OutputError> {
    for name in [MARKER, FAILURE] {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(OutputError::write(&path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
