//! Model presets as data, the estimator of the GPUs that they need, and the planner that compares instance types.
//!
//! `data/presets.yaml` has one entry per model; `data/vllm_rules.yaml` derives engine flags from a model's name or
//! architecture; `data/vllm_flags.yaml` lists the flags that users may set. A new model is a new entry. This crate must not query a hub or read files, and it knows neither
//! Kubernetes nor gRPC.

mod catalog;
mod derive;
mod document;
pub mod engine_config;
mod engine_image;
mod entry;
pub mod estimate;
mod facts;
pub mod fit;
pub mod forecast;
mod overlay;
mod preset;
mod problem;
mod rules;
pub mod training_config;
mod validate;
mod weights;

pub use catalog::{Catalog, CatalogError};
pub use document::file_schema;
pub use engine_image::EngineImage;
pub use facts::{FactsError, ModelFacts};
pub use instance_types::FileProblem;
pub use overlay::{FileReport, Overlay};
pub use preset::{
    AttentionKind, HybridCache, InferenceProfile, ModelShape, Preset, Runtime, TuningMethod, TuningProfile,
};
pub use problem::Problem;
pub use validate::PresetViolation;
