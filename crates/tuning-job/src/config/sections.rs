//! The sections, field by field, with their defaults and bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Largest rank of a change: above it the factors are no smaller than the weight.
const RANK: usize = 4096;
/// Most sequences of a step.
const SEQUENCES: usize = 1 << 16;

/// Where the model is and how it is kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Directory of the model; that of the command line when absent.
    pub pretrained_model_name_or_path: Option<String>,
    /// What weights are kept in: `float32`, `bfloat16`, `float16`, or `auto` (the default), which is as they are stored.
    /// Arithmetic is in 32-bit floats in any case.
    pub torch_dtype: Option<String>,
    /// A template, if it holds a brace or a line break, else the path of a file with one; it replaces the model's own.
    pub chat_template: Option<String>,
}

impl ModelConfig {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
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
    #[serde(deserialize_with = "flag")]
    pub load_in_8bit: bool,
    /// Linear modules are kept in four bits. Default false.
    #[serde(deserialize_with = "flag")]
    pub load_in_4bit: bool,
    /// `nf4` or `fp4`. Default `fp4`, as in bitsandbytes.
    pub bnb_4bit_quant_type: String,
    /// Scales of blocks are quantised too. Default false.
    #[serde(deserialize_with = "flag")]
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
            bnb_4bit_use_double_quant: false,
            llm_int8_skip_modules: Vec::new(),
        }
    }
}

impl QuantizationConfig {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        let path = "training_config.QuantizationConfig";
        if self.load_in_8bit {
            problems.push(format!(
                "{path}.load_in_8bit: is not supported, take load_in_4bit"
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
    #[serde(deserialize_with = "whole")]
    pub r: usize,
    /// The changes are multiplied by this over the rank. Default 8.
    #[serde(deserialize_with = "number")]
    pub lora_alpha: f64,
    /// Share of a module's inputs that its change does not see, drawn anew for each pass. Default 0.
    #[serde(deserialize_with = "number")]
    pub lora_dropout: f64,
    /// Modules that are trained. Default: those of `DEFAULT_TARGET_MODULES`, else queries and values.
    pub target_modules: Option<Targets>,
    /// Only `none`, the default: biases are not trained.
    pub bias: String,
    /// Divide alpha by the root of the rank instead. Default false.
    #[serde(deserialize_with = "flag")]
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
    #[serde(deserialize_with = "flag")]
    pub fan_in_fan_out: bool,
    /// Refused when true.
    #[serde(deserialize_with = "flag")]
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
    pub(super) fn check(&self, problems: &mut Vec<String>) {
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

/// How the learning rate moves over the steps. Formulas are those of transformers' `get_scheduler`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Down to zero in a straight line.
    Linear,
    /// Down to zero along half a cosine.
    Cosine,
    /// Stays.
    Constant,
    /// Stays after the warm-up.
    ConstantWithWarmup,
}

/// When checkpoints are written.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum WhenToSave {
    /// Never, unless the program is stopped.
    No,
    /// Every so many steps.
    Steps,
    /// After each pass over the data.
    Epoch,
}

/// How training goes. Fields of TRL's `SFTConfig`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingArguments {
    /// Where the adapter goes. Default `/mnt/output`.
    pub output_dir: String,
    /// Passes over the data. Default 3.
    #[serde(deserialize_with = "number")]
    pub num_train_epochs: f64,
    /// Number of steps instead of passes. Default absent; a negative number counts as absent.
    #[serde(deserialize_with = "steps")]
    pub max_steps: Option<u64>,
    /// Sequences of a batch. Default 8.
    #[serde(deserialize_with = "whole")]
    pub per_device_train_batch_size: usize,
    /// Sequences of a batch when the held-out part is looked at. Default 8.
    #[serde(deserialize_with = "whole")]
    pub per_device_eval_batch_size: usize,
    /// Batches of a step. Default 1.
    #[serde(deserialize_with = "whole")]
    pub gradient_accumulation_steps: usize,
    /// Layers are computed twice to save memory. Default true.
    #[serde(deserialize_with = "flag")]
    pub gradient_checkpointing: bool,
    /// Highest learning rate. Default 2e-5.
    #[serde(deserialize_with = "number")]
    pub learning_rate: f64,
    /// Default 0.
    #[serde(deserialize_with = "number")]
    pub weight_decay: f64,
    /// Default 0.9.
    #[serde(deserialize_with = "number")]
    pub adam_beta1: f64,
    /// Default 0.999.
    #[serde(deserialize_with = "number")]
    pub adam_beta2: f64,
    /// Default 1e-8.
    #[serde(deserialize_with = "number")]
    pub adam_epsilon: f64,
    /// Longest derivative; longer ones are shortened. 0 turns it off. Default 1.
    #[serde(deserialize_with = "number")]
    pub max_grad_norm: f64,
    /// Any of the names of AdamW. Default `adamw_torch`.
    pub optim: String,
    /// Default linear.
    pub lr_scheduler_type: Schedule,
    /// Steps until the highest learning rate; below 1 a share of all steps. Default 0.
    #[serde(deserialize_with = "number")]
    pub warmup_steps: f64,
    /// The same as a share of all steps, where `warmup_steps` is 0. Default 0.
    #[serde(deserialize_with = "number")]
    pub warmup_ratio: f64,
    /// Decides the order of examples, what is dropped and how factors begin. Default 42.
    #[serde(deserialize_with = "whole64")]
    pub seed: u64,
    /// Longest sequence, in tokens; longer examples are cut. Default 1024.
    #[serde(deserialize_with = "length")]
    pub max_length: Option<usize>,
    /// Put several examples into one sequence's place (best fit, each example keeps to itself). Default false.
    #[serde(deserialize_with = "flag")]
    pub packing: bool,
    /// Learn only completions of examples with a prompt and a completion. Default false: all tokens are learnt.
    #[serde(deserialize_with = "flag")]
    pub completion_only_loss: bool,
    /// Learn only what the assistant says in conversations. Default false.
    #[serde(deserialize_with = "flag")]
    pub assistant_only_loss: bool,
    /// The column with texts. Default `text`.
    pub dataset_text_field: String,
    /// Spelling of the token that ends an example. Default: the model's.
    pub eos_token: Option<String>,
    /// Leave out the last batch of a pass if it is not full. Default false.
    #[serde(deserialize_with = "flag")]
    pub dataloader_drop_last: bool,
    /// Steps between progress lines. Default 10.
    #[serde(deserialize_with = "number")]
    pub logging_steps: f64,
    /// A progress line after the first step. Default false.
    #[serde(deserialize_with = "flag")]
    pub logging_first_step: bool,
    /// When checkpoints are written: `no`, `steps`, `epoch`. Default `steps`.
    #[serde(deserialize_with = "when")]
    pub save_strategy: WhenToSave,
    /// Steps between checkpoints. Default 500.
    #[serde(deserialize_with = "number")]
    pub save_steps: f64,
    /// Checkpoints that are kept; older ones are removed. Default all.
    pub save_total_limit: Option<usize>,
    /// When the held-out part is looked at: `no`, `steps`, `epoch`. Default `no`.
    #[serde(deserialize_with = "when")]
    pub eval_strategy: WhenToSave,
    /// Steps between looks. Default: those of progress lines.
    pub eval_steps: Option<f64>,
    /// `true`: a checkpoint must be there. `false`: begin anew. A path: that one. Default: go on from the newest one in
    /// `output_dir` if it belongs to this configuration and data.
    pub resume_from_checkpoint: Option<Value>,
}

impl Default for TrainingArguments {
    fn default() -> Self {
        Self {
            output_dir: "/mnt/output".to_owned(),
            num_train_epochs: 3.0,
            max_steps: None,
            per_device_train_batch_size: 8,
            per_device_eval_batch_size: 8,
            gradient_accumulation_steps: 1,
            gradient_checkpointing: true,
            learning_rate: 2e-5,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            optim: "adamw_torch".to_owned(),
            lr_scheduler_type: Schedule::Linear,
            warmup_steps: 0.0,
            warmup_ratio: 0.0,
            seed: 42,
            max_length: Some(1024),
            packing: false,
            completion_only_loss: false,
            assistant_only_loss: false,
            dataset_text_field: "text".to_owned(),
            eos_token: None,
            dataloader_drop_last: false,
            logging_steps: 10.0,
            logging_first_step: false,
            save_strategy: WhenToSave::Steps,
            save_steps: 500.0,
            save_total_limit: None,
            eval_strategy: WhenToSave::No,
            eval_steps: None,
            resume_from_checkpoint: None,
        }
    }
}

impl TrainingArguments {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        let mut refuse = |is_so: bool, key: &str, why: &str| {
            if is_so {
                problems.push(format!("training_config.TrainingArguments.{key}: {why}"));
            }
        };
        let is_share = |value: f64| (0.0..1.0).contains(&value);
        let is_count = |value: f64| value > 0.0 && value.is_finite();
        refuse(self.output_dir.trim().is_empty(), "output_dir", "is empty");
        refuse(
            !is_count(self.num_train_epochs) || self.num_train_epochs > 1e6,
            "num_train_epochs",
            "is out of bounds",
        );
        refuse(
            !(1..=SEQUENCES).contains(&self.per_device_train_batch_size),
            "per_device_train_batch_size",
            "is out of bounds",
        );
        refuse(
            !(1..=SEQUENCES).contains(&self.per_device_eval_batch_size),
            "per_device_eval_batch_size",
            "is out of bounds",
        );
        refuse(
            !(1..=SEQUENCES).contains(&self.gradient_accumulation_steps),
            "gradient_accumulation_steps",
            "is out of bounds",
        );
        refuse(
            !(self.learning_rate >= 0.0 && self.learning_rate < 1e3),
            "learning_rate",
            "is no sensible positive number",
        );
        refuse(
            !(self.weight_decay >= 0.0 && self.weight_decay < 1e3),
            "weight_decay",
            "is no sensible positive number",
        );
        refuse(
            !is_share(self.adam_beta1),
            "adam_beta1",
            "is no number from 0 to below 1",
        );
        refuse(
            !is_share(self.adam_beta2),
            "adam_beta2",
            "is no number from 0 to below 1",
        );
        refuse(
            !is_count(self.adam_epsilon),
            "adam_epsilon",
            "is no positive number",
        );
        refuse(
            self.max_grad_norm.is_nan() || self.max_grad_norm < 0.0,
            "max_grad_norm",
            "is negative",
        );
        refuse(
            !self.optim.starts_with("adamw"),
            "optim",
            "only AdamW is supported: adamw_torch and its relatives",
        );
        refuse(
            self.warmup_steps.is_nan() || self.warmup_steps < 0.0,
            "warmup_steps",
            "is negative",
        );
        refuse(
            !(0.0..=1.0).contains(&self.warmup_ratio),
            "warmup_ratio",
            "is no share, from 0 to 1",
        );
        refuse(
            self.max_length.is_some_and(|length| length < 2),
            "max_length",
            "leaves nothing to learn",
        );
        refuse(!is_count(self.logging_steps), "logging_steps", "is not positive");
        refuse(!is_count(self.save_steps), "save_steps", "is not positive");
        refuse(
            self.eval_steps.is_some_and(|steps| !is_count(steps)),
            "eval_steps",
            "is not positive",
        );
        refuse(
            self.save_total_limit == Some(0),
            "save_total_limit",
            "would keep no checkpoint, take save_strategy: \"no\"",
        );
        let resume = self.resume_from_checkpoint.as_ref();
        refuse(
            resume.is_some_and(|value| !value.is_boolean() && !value.is_string()),
            "resume_from_checkpoint",
            "is neither true, false nor a path",
        );
    }
}

/// How examples become batches. Upstream's keys are known and have no effect: these models predict next tokens, and batches are
/// not padded.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct DataCollator {}

/// Where examples come from.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct DatasetConfig {
    /// A file or directory below the data's directory. Default: all of it is looked through.
    pub dataset_path: Option<String>,
    /// `parquet`, `jsonl`, `json` or `csv`. Default: what the file's name says.
    pub dataset_extension: Option<String>,
    /// Put examples into a random order before they are split, and in each pass. Default true.
    #[serde(deserialize_with = "flag")]
    pub shuffle_dataset: bool,
    /// Decides that order. Default 42.
    #[serde(deserialize_with = "whole64")]
    pub shuffle_seed: u64,
    /// The column with prompts, beside `response_column`. Default none.
    pub context_column: Option<String>,
    /// The column with completions, or, without `context_column`, with texts. Default none; upstream's is `text`.
    pub response_column: Option<String>,
    /// The column with conversations. Default none.
    pub messages_column: Option<String>,
    /// Share of examples that is trained on. Default 0.8.
    #[serde(deserialize_with = "number")]
    pub train_test_split: f64,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self {
            dataset_path: None,
            dataset_extension: None,
            shuffle_dataset: true,
            shuffle_seed: 42,
            context_column: None,
            response_column: None,
            messages_column: None,
            train_test_split: 0.8,
        }
    }
}

impl DatasetConfig {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        let path = "training_config.DatasetConfig";
        if !(self.train_test_split > 0.0 && self.train_test_split <= 1.0) {
            problems.push(format!(
                "{path}.train_test_split: Train/Test split needs to be between 0 and 1"
            ));
        }
        let extension = self
            .dataset_extension
            .as_deref()
            .map(|text| text.trim_start_matches('.'));
        if extension.is_some_and(|text| !["parquet", "jsonl", "json", "csv"].contains(&text)) {
            problems.push(format!(
                "{path}.dataset_extension: only parquet, jsonl, json and csv are supported"
            ));
        }
        if self
            .dataset_path
            .as_deref()
            .is_some_and(|path| path.split('/').any(|part| part == ".."))
        {
            problems.push(format!("{path}.dataset_path: leaves the directory of the data"));
        }
        if self.context_column.is_some() && self.response_column.is_none() {
            problems.push(format!("{path}.context_column: needs a response_column"));
        }
    }
}

/// A number, or text that is one: YAML readers disagree about `1e-4`.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let parsed = value
        .as_f64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    parsed.ok_or_else(|| serde::de::Error::custom(format!("{value} is no number")))
}

fn whole64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let parsed = value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    parsed.ok_or_else(|| serde::de::Error::custom(format!("{value} is no whole number")))
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    whole64(deserializer).and_then(|value| usize::try_from(value).map_err(serde::de::Error::custom))
}

/// A number of steps; negative ones mean none.
fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = number(deserializer)?;
    if value.fract() != 0.0 || value.abs() > 1e12 {
        return Err(serde::de::Error::custom(format!("{value} is no number of steps")));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and positive"
    )]
    Ok((value > 0.0).then_some(value as u64))
}

fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    whole(deserializer).map(Some)
}

/// A flag, or text that is one.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    match (
        value.as_bool(),
        value.as_str().map(str::to_ascii_lowercase).as_deref(),
    ) {
        (Some(flag), _) => Ok(flag),
        (_, Some("true" | "yes")) => Ok(true),
        (_, Some("false" | "no")) => Ok(false),
        _ => Err(serde::de::Error::custom(format!(
            "{value} is neither true nor false"
        ))),
    }
}

/// `no` is a flag to some YAML readers.
fn when<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WhenToSave, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(false) => Ok(WhenToSave::No),
        value => serde_json::from_value(value).map_err(serde::de::Error::custom),
    }
}
