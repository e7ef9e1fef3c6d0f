//! `TrainingArguments`: how training goes.

use serde::Deserialize;
use serde_json::Value;

use super::scalar;

/// Most sequences of a step.
const SEQUENCES: usize = 1 << 16;

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
    #[serde(deserialize_with = "scalar::number")]
    pub num_train_epochs: f64,
    /// Number of steps instead of passes. Default absent; a negative number counts as absent.
    #[serde(deserialize_with = "scalar::steps")]
    pub max_steps: Option<u64>,
    /// Sequences of a batch. Default 8.
    #[serde(deserialize_with = "scalar::whole")]
    pub per_device_train_batch_size: usize,
    /// Sequences of a batch when the held-out part is looked at. Default 8.
    #[serde(deserialize_with = "scalar::whole")]
    pub per_device_eval_batch_size: usize,
    /// Batches of a step. Default 1.
    #[serde(deserialize_with = "scalar::whole")]
    pub gradient_accumulation_steps: usize,
    /// Layers are computed twice to save memory. Default true.
    #[serde(deserialize_with = "scalar::flag")]
    pub gradient_checkpointing: bool,
    /// Highest learning rate. Default 2e-5.
    #[serde(deserialize_with = "scalar::number")]
    pub learning_rate: f64,
    /// Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub weight_decay: f64,
    /// Default 0.9.
    #[serde(deserialize_with = "scalar::number")]
    pub adam_beta1: f64,
    /// Default 0.999.
    #[serde(deserialize_with = "scalar::number")]
    pub adam_beta2: f64,
    /// Default 1e-8.
    #[serde(deserialize_with = "scalar::number")]
    pub adam_epsilon: f64,
    /// Longest derivative; longer ones are shortened. 0 turns it off. Default 1.
    #[serde(deserialize_with = "scalar::number")]
    pub max_grad_norm: f64,
    /// Any of the names of AdamW. Default `adamw_torch`.
    pub optim: String,
    /// Default linear.
    pub lr_scheduler_type: Schedule,
    /// Steps until the highest learning rate; below 1 a share of all steps. Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub warmup_steps: f64,
    /// The same as a share of all steps, where `warmup_steps` is 0. Default 0.
    #[serde(deserialize_with = "scalar::number")]
    pub warmup_ratio: f64,
    /// Decides the order of examples, what is dropped and how factors begin. Default 42.
    #[serde(deserialize_with = "scalar::whole64")]
    pub seed: u64,
    /// Longest sequence, in tokens; longer examples are cut. Default 1024.
    #[serde(deserialize_with = "scalar::length")]
    pub max_length: Option<usize>,
    /// Put several examples into one sequence's place (best fit, each example keeps to itself). Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub packing: bool,
    /// Learn only completions of examples with a prompt and a completion. Default false: all tokens are learnt.
    #[serde(deserialize_with = "scalar::flag")]
    pub completion_only_loss: bool,
    /// Learn only what the assistant says in conversations. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub assistant_only_loss: bool,
    /// The column with texts. Default `text`.
    pub dataset_text_field: String,
    /// TokenBytes of the token that ends an example. Default: the model's.
    pub eos_token: Option<String>,
    /// Leave out the last batch of a pass if it is not full. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub dataloader_drop_last: bool,
    /// Steps between progress lines. Default 10.
    #[serde(deserialize_with = "scalar::number")]
    pub logging_steps: f64,
    /// A progress line after the first step. Default false.
    #[serde(deserialize_with = "scalar::flag")]
    pub logging_first_step: bool,
    /// When checkpoints are written: `no`, `steps`, `epoch`. Default `steps`.
    #[serde(deserialize_with = "scalar::when")]
    pub save_strategy: WhenToSave,
    /// Steps between checkpoints. Default 500.
    #[serde(deserialize_with = "scalar::number")]
    pub save_steps: f64,
    /// Checkpoints that are kept; older ones are removed. Default all.
    pub save_total_limit: Option<usize>,
    /// When the held-out part is looked at: `no`, `steps`, `epoch`. Default `no`.
    #[serde(deserialize_with = "scalar::when")]
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
    pub(in crate::config) fn check(&self, problems: &mut Vec<String>) {
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
