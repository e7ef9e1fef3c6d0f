//! The gpu-provisioner: from a Machine or a NodeClaim to an instance with one Node, and back.
//!
//! A shell around `nodeclaim_plan`. It watches the cluster, polls the cloud, and gives plans to `operator_runtime` to
//! execute. It decides nothing. Start reading at `program.rs`, then `reconcile.rs` and `poller.rs`.

pub mod args;
mod caches;
mod capacity;
mod claims;
pub mod fleet;
mod offering_metrics;
mod poller;
mod program;
pub mod provider;
mod reconcile;
mod repairs;
mod strip;
mod tracked_cloud;
mod watches;

pub use args::Args;
pub use program::run;
