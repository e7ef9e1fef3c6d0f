//! `ModelConfig` and `QuantizationConfig`: where the model is, and what its weights are kept in.

use serde::Deserialize;

use super::scalar;

/// Where the model is and how it is kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Directory of the model; that of the command line when absent.
    pub pretrained_model_name_or_path: Option<String>,
    /// What weights are kept in: `float32`, `bfloat16`, `float16`, or `auto` (the default), which is as they are stored.
    /// ComputeDtype is in 32-bit floats in any case.
    pub torch_dtype: Option<String>,
    /// A template, if it holds a brace or a line break, else the path of a file with one; it replaces the model's own.
    pub chat_template: Option<String>,
}

impl ModelConfig {
    pub(in crate::config) fn check(&self, problems: &mut Vec<String>) {
        let dtype = self
            .torch_dtype
            .as_deref()
            .unwrap_or("auto")
            .trim_start_matches("torch.");
        if !["auto", "float32", "bfloat16", "float16"].contains(&dtype) {
            let known = "auto, float32, bfloat16 and float16";
            problems.push(format!(
                "training_config.ModelConfig.torch_dtype: `{dtype}` is not supported, {known} are"
            ));
        }
    }
}

/// Whether weights are quantised.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct QuantizationConfig {
    /// Refused when true: there are no eight-bit weights here. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub load_in_8bit: bool,
    /// Linear modules are kept in four bits. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub load_in_4bit: bool,
    /// `nf4` or `fp4`. Default `fp4`, as in bitsandbytes.
    pub bnb_4bit_quant_type: String,
    /// `bfloat16` rounds what quantised weights are multiplied with, where that is faster; `float32` and `float16` round nothing. Default
    /// `float32`, as in bitsandbytes.
    pub bnb_4bit_compute_dtype: String,
    /// Scales of blocks are quantised too. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub bnb_4bit_use_double_quant: bool,
    /// Modules that are not quantised; embeddings never are. Default none.
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
    pub(in crate::config) fn check(&self, problems: &mut Vec<String>) {
        let path = "training_config.QuantizationConfig";
        if self.load_in_8bit {
            problems.push(format!(
                "{path}.load_in_8bit: is not supported, take load_in_4bit"
            ));
        }
        let compute = self.bnb_4bit_compute_dtype.trim_start_matches("torch.");
        if !["float32", "bfloat16", "float16"].contains(&compute) {
            problems.push(format!(
                "{path}.bnb_4bit_compute_dtype: `{compute}` is none of float32, bfloat16 and float16"
            ));
        }
        if !["nf4", "fp4"].contains(&self.bnb_4bit_quant_type.as_str()) {
            problems.push(format!(
                "{path}.bnb_4bit_quant_type: `{}` is neither nf4 nor fp4",
                self.bnb_4bit_quant_type
            ));
        }
    }
}
