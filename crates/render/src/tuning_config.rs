//! Default training parameters, for a tuning Workspace that names none.
//!
//! Sections and keys are those of the base image's `fine_tuning.py`. Values are those of upstream's templates, but GPUs
//! without bfloat16 get float16.

use k8s_openapi::api::core::v1::ConfigMap;
use kaito_api::names;
use preset_catalog::TuningMethod;
use preset_catalog::training_config::TRAINING_CONFIG_KEY;

use crate::tuning::Tuning;
use crate::{meta, paths};

/// Renders the ConfigMap; see [`names::tuning_config`].
#[must_use]
pub fn tuning_config(tuning: &Tuning<'_>) -> ConfigMap {
    let dtype = if tuning.hardware.bfloat16 {
        "bfloat16"
    } else {
        "float16"
    };
    let text = training_config(tuning.method, dtype);
    ConfigMap {
        metadata: meta::owned(tuning.workspace, names::tuning_config(tuning.workspace.name())),
        data: Some([(TRAINING_CONFIG_KEY.to_owned(), text)].into()),
        ..ConfigMap::default()
    }
}

fn training_config(method: TuningMethod, dtype: &str) -> String {
    let quantization = match method {
        TuningMethod::Lora => "    load_in_4bit: false\n".to_owned(),
        TuningMethod::Qlora => format!(
            "    load_in_4bit: true\n    bnb_4bit_quant_type: nf4\n    bnb_4bit_compute_dtype: {dtype}\n    \
             bnb_4bit_use_double_quant: true\n"
        ),
    };
    format!(
        "training_config:
  ModelConfig:
    torch_dtype: {dtype}
    local_files_only: true
    device_map: auto
  QuantizationConfig:
{quantization}  LoraConfig:
    r: 8
    lora_alpha: 8
    lora_dropout: 0.0
  TrainingArguments:
    output_dir: {results}
    ddp_find_unused_parameters: false
    save_strategy: \"no\"
    per_device_train_batch_size: 1
  DataCollator:
    mlm: true
  DatasetConfig:
    shuffle_dataset: true
    train_test_split: 1
",
        results = paths::TUNING_RESULTS
    )
}
