//! Kubernetes objects from values, one file a kind.
//!
//! Every function here is pure and total: the planner has parsed and validated the user's input before. Objects hold
//! only the fields that we set; the API server adds its defaults.

mod adapter;
mod artifact;
mod canonical;
mod claim;
mod deployment;
mod downloads;
mod front;
mod hardware;
mod images;
mod inference;
mod inference_pod;
mod job;
mod meta;
mod model_commit;
mod native;
mod network_policy;
mod outgoing;
mod paths;
mod platform;
mod pod;
mod probe;
mod push;
mod revision;
mod scheduling;
mod server;
mod service;
mod serving;
mod stateful_set;
mod template;
mod tuner;
mod tuning;
mod tuning_config;
mod tuning_pod;
mod vllm;
mod volume;
mod weights;
mod workload;

pub use adapter::Adapter;
pub use artifact::Payload;
pub use canonical::{bytes, quantity};
pub use claim::{ClaimRequest, NodeClaimOptions, machine, node_claim};
pub use downloads::Downloads;
pub use hardware::Hardware;
pub use images::Images;
pub use inference::Inference;
pub use job::{job, spec_digest};
pub use model_commit::commit_in;
pub use network_policy::network_policy;
pub use outgoing::{CaBundle, Outgoing};
pub use paths::{CONFIG, TUNING_RESULTS};
pub use platform::{Isolation, Platform};
pub use push::{PUSH_CHECK, PUSH_RESULT, PUSHER};
pub use revision::{model_record, revision};
pub use scheduling::node_labels;
pub use service::{Exposure, Transport, headless_service, service};
pub use serving::{AdapterMode, Serving};
pub use template::{Custom, parse as parse_template};
pub use tuning::{ImagePush, Tuner, Tuning, TuningInput, TuningOutput};
pub use tuning_config::tuning_config;
pub use volume::{parse as parse_volume, pod_of_weights_claim, weights_image};
pub use weights::WEIGHTS_STEP;
pub use workload::workload;
