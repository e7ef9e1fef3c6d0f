//! `ModelConfig` and `QuantizationConfig`: path and precision of the model.

use serde::Deserialize;

use super::scalar;

/// Path and precision of the model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Directory of the model; that of the command line when absent.
    pub pretrained_model_name_or_path: Option<String>,
    /// Precision of weights: `float32`, `bfloat16`, `float16`, or `auto`. The default is `auto`, the precision of the files. Sums are
    /// 32-bit floats.
    pub torch_dtype: Option<String>,
    /// A chat template that replaces the model's: text with a brace or a line break, else the path of a file.
    pub chat_template: Option<String>,
}

impl ModelConfig {
    pub(crate) fn check(&self, problems: &mut Vec<String>) {
        let dtype = self
            .torch_dtype
            .as_deref()
            .unwrap_or("auto")
            .trim_start_matches("torch.");
        if !["auto", "float32", "bfloat16", "float16"].contains(&dtype) {
            let known = "auto, float32, bfloat16 or float16";
            problems.push(format!(
                "training_config.ModelConfig.torch_dtype: unknown `{dtype}`, expected {known}"
            ));
        }
    }
}

/// Quantization of weights.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct QuantizationConfig {
    /// Must be false, the default: eight-bit weights are not supported.
    #[serde(deserialize_with = "scalar::flag")]
    pub load_in_8bit: bool,
    /// Quantize linear modules to four bits. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub load_in_4bit: bool,
    /// `nf4` or `fp4`. Default `fp4`, as in bitsandbytes.
    pub bnb_4bit_quant_type: String,
    /// `bfloat16` rounds the inputs of quantized weights where that is faster; `float32` and `float16` round nothing. Default
    /// `float32`, as in bitsandbytes.
    pub bnb_4bit_compute_dtype: String,
    /// Quantize scales of blocks too. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub bnb_4bit_use_double_quant: bool,
    /// Modules that are not quantized; embeddings never are. Default none.
    pub llm_int8_skip_modules: Vec<String>,
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        Self {
            load_in_8bit: false,
            load_in_4bit: false,
            bnb_4bit_quant_type: "fp4".to_owned(),
            bnb_4bit_compute_dtype: "float32".to_owned(),
            bnb_4bit_use_double_quant: false,
            llm_int8_skip_modules: Vec::new(),
        }
    }
}

impl QuantizationConfig {
    pub(crate) fn check(&self, problems: &mut Vec<String>) {
        let path = "training_config.QuantizationConfig";
        if self.load_in_8bit {
            problems.push(format!("{path}.load_in_8bit: must be false; use load_in_4bit"));
        }
        let compute = self.bnb_4bit_compute_dtype.trim_start_matches("torch.");
        if !["float32", "bfloat16", "float16"].contains(&compute) {
            problems.push(format!(
                "{path}.bnb_4bit_compute_dtype: unknown `{compute}`, expected float32, bfloat16 or float16"
            ));
        }
        if !["nf4", "fp4"].contains(&self.bnb_4bit_quant_type.as_str()) {
            problems.push(format!(
                "{path}.bnb_4bit_quant_type: unknown `{}`, expected nf4 or fp4",
                self.bnb_4bit_quant_type
            ));
        }
    }
}
