//! `TrainingArguments`: arguments of training.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::scalar;

/// Most sequences of a step.
const SEQUENCES: usize = 1 << 16;

/// Schedule of the learning rate, with the formulas of transformers' `get_scheduler`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SchedulerType {
    /// Linear decay to zero.
    Linear,
    /// Decay to zero along half a cosine.
    Cosine,
    /// Constant from the first step.
    Constant,
    /// Constant after the warm-up.
    ConstantWithWarmup,
}

/// Times of checkpoints and evaluations.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum IntervalStrategy {
    /// Never; a stopped program still writes a checkpoint.
    No,
    /// After a number of steps.
    Steps,
    /// After each epoch.
    Epoch,
}

/// Reads a strategy. YAML readers may take `no` for a flag.
fn interval_strategy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IntervalStrategy, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(false) => Ok(IntervalStrategy::No),
        value => serde_json::from_value(value).map_err(serde::de::Error::custom),
    }
}

/// Arguments of training, with the fields of TRL's `SFTConfig`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingArguments {
    /// Directory of the adapter. Default `/mnt/output`.
    pub output_dir: String,
    /// Epochs. Default 3.
    #[serde(deserialize_with = "scalar::number")]
    pub num_train_epochs: f64,
    /// Number of steps instead of epochs. Default absent; a negative number counts as absent.
    #[serde(deserialize_with = "scalar::steps")]
    pub max_steps: Option<u64>,
    /// Sequences of a batch. Default 8.
    #[serde(deserialize_with = "scalar::whole")]
    pub per_device_train_batch_size: usize,
    /// Sequences of a batch in evaluations. Default 8.
    #[serde(deserialize_with = "scalar::whole")]
    pub per_device_eval_batch_size: usize,
    /// Batches of a step. Default 1.
    #[serde(deserialize_with = "scalar::whole")]
    pub gradient_accumulation_steps: usize,
    /// Compute layers twice to save memory. Default true.
    #[serde(deserialize_with = "scalar::flag")]
    pub gradient_checkpointing: bool,
    /// Highest learning rate. Default 2e-5.
    #[serde(deserialize_with = "scalar::number")]
    pub learning_rate: f64,
    /// Decay of parameters. Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub weight_decay: f64,
    /// Decay of the mean of gradients. Default 0.9.
    #[serde(deserialize_with = "scalar::number")]
    pub adam_beta1: f64,
    /// Decay of the mean of squared gradients. Default 0.999.
    #[serde(deserialize_with = "scalar::number")]
    pub adam_beta2: f64,
    /// Term in the denominator of AdamW. Default 1e-8.
    #[serde(deserialize_with = "scalar::number")]
    pub adam_epsilon: f64,
    /// Largest norm of a gradient; larger ones are clipped. 0 turns it off. Default 1.
    #[serde(deserialize_with = "scalar::number")]
    pub max_grad_norm: f64,
    /// Any of the names of AdamW. Default `adamw_torch`.
    pub optim: String,
    /// Schedule of the learning rate. Default linear.
    pub lr_scheduler_type: SchedulerType,
    /// Steps until the highest learning rate; below 1 a share of all steps. Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub warmup_steps: f64,
    /// The same as a share of all steps, if `warmup_steps` is 0. Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub warmup_ratio: f64,
    /// Seed of the order of examples, dropout and initial parameters. Default 42.
    #[serde(deserialize_with = "scalar::whole64")]
    pub seed: u64,
    /// Longest sequence, in tokens; longer examples are truncated. Default 1024.
    #[serde(deserialize_with = "scalar::length")]
    pub max_length: Option<usize>,
    /// Pack several examples into one sequence (best fit; no example sees another). Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub packing: bool,
    /// Count only completions in the loss, of examples with a prompt. Default false: all tokens count.
    #[serde(deserialize_with = "scalar::flag")]
    pub completion_only_loss: bool,
    /// Count only messages of the assistant in the loss. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub assistant_only_loss: bool,
    /// The column with texts. Default `text`.
    pub dataset_text_field: String,
    /// TokenBytes of the token that ends an example. Default: the model's.
    pub eos_token: Option<String>,
    /// Leave out an incomplete last batch of an epoch. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub dataloader_drop_last: bool,
    /// Steps between progress lines. Default 10.
    #[serde(deserialize_with = "scalar::number")]
    pub logging_steps: f64,
    /// Log a progress line after the first step. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub logging_first_step: bool,
    /// Times of checkpoints: `no`, `steps`, `epoch`. Default `steps`.
    #[serde(deserialize_with = "interval_strategy")]
    pub save_strategy: IntervalStrategy,
    /// Steps between checkpoints. Default 500.
    #[serde(deserialize_with = "scalar::number")]
    pub save_steps: f64,
    /// Number of checkpoints to keep; older ones are removed. Default all.
    pub save_total_limit: Option<usize>,
    /// Times of evaluations: `no`, `steps`, `epoch`. Default `no`.
    #[serde(deserialize_with = "interval_strategy")]
    pub eval_strategy: IntervalStrategy,
    /// Steps between evaluations. Default: those of progress lines.
    pub eval_steps: Option<f64>,
    /// `true`: a checkpoint must exist. `false`: start from step 0. A path: that checkpoint. Default: continue from the newest one in
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
            lr_scheduler_type: SchedulerType::Linear,
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
            save_strategy: IntervalStrategy::Steps,
            save_steps: 500.0,
            save_total_limit: None,
            eval_strategy: IntervalStrategy::No,
            eval_steps: None,
            resume_from_checkpoint: None,
        }
    }
}

impl TrainingArguments {
    pub(crate) fn check(&self, problems: &mut Vec<String>) {
        let mut refuse = |is_so: bool, key: &str, why: &str| {
            if is_so {
                problems.push(format!("training_config.TrainingArguments.{key}: {why}"));
            }
        };
        let is_share = |value: f64| (0.0..1.0).contains(&value);
        let is_count = |value: f64| value > 0.0 && value.is_finite();
        refuse(
            self.output_dir.trim().is_empty(),
            "output_dir",
            "must not be empty",
        );
        refuse(
            !is_count(self.num_train_epochs) || self.num_train_epochs > 1e6,
            "num_train_epochs",
            "must be positive and at most 1e6",
        );
        refuse(
            !(1..=SEQUENCES).contains(&self.per_device_train_batch_size),
            "per_device_train_batch_size",
            "must be from 1 to 65536",
        );
        refuse(
            !(1..=SEQUENCES).contains(&self.per_device_eval_batch_size),
            "per_device_eval_batch_size",
            "must be from 1 to 65536",
        );
        refuse(
            !(1..=SEQUENCES).contains(&self.gradient_accumulation_steps),
            "gradient_accumulation_steps",
            "must be from 1 to 65536",
        );
        refuse(
            !(self.learning_rate >= 0.0 && self.learning_rate < 1e3),
            "learning_rate",
            "must be from 0 to below 1000",
        );
        refuse(
            !(self.weight_decay >= 0.0 && self.weight_decay < 1e3),
            "weight_decay",
            "must be from 0 to below 1000",
        );
        refuse(
            !is_share(self.adam_beta1),
            "adam_beta1",
            "must be from 0 to below 1",
        );
        refuse(
            !is_share(self.adam_beta2),
            "adam_beta2",
            "must be from 0 to below 1",
        );
        refuse(!is_count(self.adam_epsilon), "adam_epsilon", "must be positive");
        refuse(
            self.max_grad_norm.is_nan() || self.max_grad_norm < 0.0,
            "max_grad_norm",
            "must not be negative",
        );
        refuse(
            !self.optim.starts_with("adamw"),
            "optim",
            "must be a name of AdamW, such as adamw_torch",
        );
        refuse(
            self.warmup_steps.is_nan() || self.warmup_steps < 0.0,
            "warmup_steps",
            "must not be negative",
        );
        refuse(
            !(0.0..=1.0).contains(&self.warmup_ratio),
            "warmup_ratio",
            "must be from 0 to 1",
        );
        refuse(
            self.max_length.is_some_and(|length| length < 2),
            "max_length",
            "must be at least 2",
        );
        refuse(!is_count(self.logging_steps), "logging_steps", "must be positive");
        refuse(!is_count(self.save_steps), "save_steps", "must be positive");
        refuse(
            self.eval_steps.is_some_and(|steps| !is_count(steps)),
            "eval_steps",
            "must be positive",
        );
        refuse(
            self.save_total_limit == Some(0),
            "save_total_limit",
            "must be at least 1; to keep none, set save_strategy: \"no\"",
        );
        let resume = self.resume_from_checkpoint.as_ref();
        refuse(
            resume.is_some_and(|value| !value.is_boolean() && !value.is_string()),
            "resume_from_checkpoint",
            "must be true, false or a path",
        );
    }
}
