//! `LoraConfig`: what is trained.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::scalar;

/// Largest rank of a change: above it the factors are no smaller than the weight.
const RANK: usize = 4096;

/// `target_modules`: a list, or one word.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Targets {
    /// Names, or ends of names.
    List(Vec<String>),
    /// `all-linear`, or one name.
    One(String),
}

/// What is trained. PEFT's fields.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the changes. Default 8.
    #[serde(deserialize_with = "scalar::whole")]
    pub r: usize,
    /// The changes are multiplied by this over the rank. Default 8.
    #[serde(deserialize_with = "scalar::number")]
    pub lora_alpha: f64,
    /// Share of a module's inputs that its change does not see, drawn anew for each pass. Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub lora_dropout: f64,
    /// Modules that are trained. Default: those of `DEFAULT_TARGET_MODULES`, else queries and values.
    pub target_modules: Option<Targets>,
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
    /// Layers in which modules are trained. Default all.
    pub layers_to_transform: Option<Layers>,
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
pub enum Layers {
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
    pub(in crate::config) fn check(&self, problems: &mut Vec<String>) {
        let mut refuse = |is_so: bool, key: &str, why: &str| {
            if is_so {
                problems.push(format!("training_config.LoraConfig.{key}: {why}"));
            }
        };
        refuse(
            self.r == 0 || self.r > RANK,
            "r",
            "is out of bounds, 1 to 4096 are supported",
        );
        refuse(
            !self.lora_alpha.is_finite() || self.lora_alpha <= 0.0,
            "lora_alpha",
            "is no positive number",
        );
        refuse(
            !(0.0..1.0).contains(&self.lora_dropout),
            "lora_dropout",
            "is no share, from 0 to below 1",
        );
        refuse(self.bias != "none", "bias", "only `none` is supported");
        refuse(
            self.fan_in_fan_out,
            "fan_in_fan_out",
            "is not supported: no supported model needs it",
        );
        refuse(self.use_dora, "use_dora", "is not supported");
        refuse(
            !self.modules_to_save.is_empty(),
            "modules_to_save",
            "is not supported: only linear modules are trained",
        );
        refuse(
            self.layers_pattern.is_some(),
            "layers_pattern",
            "is not supported, layers_to_transform is enough here",
        );
        refuse(!self.loftq_config.is_empty(), "loftq_config", "is not supported");
        refuse(
            self.rank_pattern.values().any(|rank| *rank == 0 || *rank > RANK),
            "rank_pattern",
            "has a rank out of bounds",
        );
        refuse(
            !self.has_known_beginning(),
            "init_lora_weights",
            "only true and `gaussian` are supported",
        );
        let is_pattern = |text: &String| {
            text.chars()
                .any(|c| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
        };
        let has_pattern = match &self.target_modules {
            Some(Targets::One(one)) => is_pattern(one),
            Some(Targets::List(list)) => list.is_empty() || list.iter().any(is_pattern),
            None => false,
        };
        refuse(
            has_pattern,
            "target_modules",
            "is no list of names or ends of names, and not `all-linear`",
        );
    }

    fn has_known_beginning(&self) -> bool {
        self.init_lora_weights == Value::Bool(true) || self.init_lora_weights.as_str() == Some("gaussian")
    }
}
