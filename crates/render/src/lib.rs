//! Kubernetes objects from values, one file a kind.
//!
//! Every function here is pure and total: what a user wrote is parsed and judged before it comes here. The
//! objects hold only what we want to say; defaults are the API server's.

mod adapter;
mod artifact;
mod canonical;
mod claim;
mod deployment;
pub mod downloads;
pub mod hardware;
pub mod images;
mod inference;
mod meta;
mod native;
pub mod paths;
pub mod platform;
mod pod;
mod probe;
mod scheduling;
mod service;
mod stateful_set;
mod template;
mod tuner;
mod tuning;
mod tuning_config;
mod tuning_pod;
mod vllm;
mod volume;

pub use adapter::Adapter;
pub use artifact::Payload;
pub use claim::{ClaimRequest, NodeClaimOptions, machine, node_claim};
pub use downloads::Downloads;
pub use hardware::Hardware;
pub use images::Images;
pub use inference::Inference;
pub use platform::Platform;
pub use scheduling::node_labels;
pub use service::{headless_service, service};
pub use template::{Custom, parse as parse_template};
pub use tuner::Tuner;
pub use tuning::{Destination, Source, Tuning, spec_digest};
pub use tuning_config::tuning_config;
pub use volume::parse as parse_volume;
