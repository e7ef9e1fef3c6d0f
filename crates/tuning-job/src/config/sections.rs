//! The sections, field by field, with their defaults and bounds.

mod dataset;
mod lora;
mod model;
mod scalar;
mod training;

pub use dataset::{DataCollator, DatasetConfig};
pub use lora::{LayersToTransform, LoraConfig, TargetModules};
pub use model::{ModelConfig, QuantizationConfig};
pub use training::{IntervalStrategy, SchedulerType, TrainingArguments};
