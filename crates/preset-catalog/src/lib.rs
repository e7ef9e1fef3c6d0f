//! Model presets as data, the estimator of the GPUs that they need, and the planner that compares instance types.
//!
//! `data/presets.yaml` has one entry a model; `data/vllm_rules.yaml` says which engine flags follow from a
//! model's name or architecture. Adding a model is adding an entry. This crate asks no model hub, reads no
//! files, and knows neither Kubernetes nor gRPC.

mod catalog;
mod derive;
mod document;
mod entry;
pub mod estimate;
mod facts;
pub mod fit;
mod overlay;
mod preset;
mod rules;
mod validate;
mod weights;

pub use catalog::{Catalog, CatalogError};
pub use document::{FileProblem, Position, file_schema};
pub use facts::{FactsError, ModelFacts};
pub use overlay::{FileReport, Overlay};
pub use preset::{
    AttentionKind, HybridCache, InferenceProfile, ModelShape, Preset, Runtime, TuningMethod, TuningProfile,
};
pub use validate::{Problem, Violation};
