//! `LoraConfig`: the LoRA matrices.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::scalar;

/// Largest rank: above it LoRA matrices are no smaller than the weight.
const RANK: usize = 4096;

/// `target_modules`: a list, or one word.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum TargetModules {
    /// Names, or ends of names.
    List(Vec<String>),
    /// `all-linear`, or one name.
    One(String),
}

/// LoRA matrices, with the fields of PEFT.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank. Default 8.
    #[serde(deserialize_with = "scalar::whole")]
    pub r: usize,
    /// Products of LoRA matrices are scaled by this over the rank. Default 8.
    #[serde(deserialize_with = "scalar::number")]
    pub lora_alpha: f64,
    /// Probability that an input is dropped in a training pass. Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub lora_dropout: f64,
    /// Modules to train. Default: those of `DEFAULT_TARGET_MODULES`, else queries and values.
    pub target_modules: Option<TargetModules>,
    /// Only `none`, the default: biases are not trained.
    pub bias: String,
    /// Divide alpha by the root of the rank instead. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub use_rslora: bool,
    /// `true`, the default, or `gaussian`.
    pub init_lora_weights: Value,
    /// Ranks of some modules, by the end of their name. Default none.
    pub rank_pattern: BTreeMap<String, usize>,
    /// Alphas of some modules, by the end of their name. Default none.
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Layers to train. Default all.
    pub layers_to_transform: Option<LayersToTransform>,
    /// Only false, the default: the weights of these models are not transposed.
    #[serde(deserialize_with = "scalar::flag")]
    pub fan_in_fan_out: bool,
    /// Refused when true.
    #[serde(deserialize_with = "scalar::flag")]
    pub use_dora: bool,
    /// Refused unless empty.
    pub modules_to_save: Vec<String>,
    /// Refused unless empty: layers of these models have one name.
    pub layers_pattern: Option<Value>,
    /// Refused unless empty.
    pub loftq_config: BTreeMap<String, Value>,
}

/// One layer or several.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum LayersToTransform {
    /// One.
    One(usize),
    /// Several.
    Many(Vec<usize>),
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: None,
            bias: "none".to_owned(),
            use_rslora: false,
            init_lora_weights: Value::Bool(true),
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            layers_to_transform: None,
            fan_in_fan_out: false,
            use_dora: false,
            modules_to_save: Vec::new(),
            layers_pattern: None,
            loftq_config: BTreeMap::new(),
        }
    }
}

impl LoraConfig {
    pub(crate) fn check(&self, problems: &mut Vec<String>) {
        let mut refuse = |is_so: bool, key: &str, why: &str| {
            if is_so {
                problems.push(format!("training_config.LoraConfig.{key}: {why}"));
            }
        };
        refuse(self.r == 0 || self.r > RANK, "r", "must be from 1 to 4096");
        refuse(
            !self.lora_alpha.is_finite() || self.lora_alpha <= 0.0,
            "lora_alpha",
            "must be positive",
        );
        refuse(
            !(0.0..1.0).contains(&self.lora_dropout),
            "lora_dropout",
            "must be from 0 to below 1",
        );
        refuse(self.bias != "none", "bias", "must be `none`");
        refuse(
            self.fan_in_fan_out,
            "fan_in_fan_out",
            "must be false: no supported model needs it",
        );
        refuse(self.use_dora, "use_dora", "must be false: DoRA is not supported");
        refuse(
            !self.modules_to_save.is_empty(),
            "modules_to_save",
            "must be empty: only linear modules are trained",
        );
        refuse(
            self.layers_pattern.is_some(),
            "layers_pattern",
            "must be absent: use layers_to_transform",
        );
        refuse(!self.loftq_config.is_empty(), "loftq_config", "must be empty");
        refuse(
            self.rank_pattern.values().any(|rank| *rank == 0 || *rank > RANK),
            "rank_pattern",
            "must have ranks from 1 to 4096",
        );
        refuse(
            !self.has_known_init(),
            "init_lora_weights",
            "must be true or `gaussian`",
        );
        let is_pattern = |text: &String| {
            text.chars()
                .any(|c| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
        };
        let has_pattern = match &self.target_modules {
            Some(TargetModules::One(one)) => is_pattern(one),
            Some(TargetModules::List(list)) => list.is_empty() || list.iter().any(is_pattern),
            None => false,
        };
        refuse(
            has_pattern,
            "target_modules",
            "must be a list of names or ends of names, or `all-linear`",
        );
    }

    fn has_known_init(&self) -> bool {
        self.init_lora_weights == Value::Bool(true) || self.init_lora_weights.as_str() == Some("gaussian")
    }
}
