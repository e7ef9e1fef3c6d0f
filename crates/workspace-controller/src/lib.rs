//! The workspace controller: turns a Workspace into nodes, a model server or a tuning Job, and a status.
//!
//! It is a shell around `workspace_plan`. It watches, asks the preset registry, and gives plans to `operator_runtime`,
//! which executes them. It decides nothing. Start reading at `reconcile.rs`.

mod args;
mod capacity;
mod catalog_cache;
mod catalog_snapshot;
mod catalog_watch;
mod image_args;
pub mod image_volumes;
mod launch_backoff;
mod ledger;
mod lookups;
mod observe;
mod orphans;
mod outgoing_args;
pub mod presets;
mod program;
mod reconcile;
mod registry_authorities;
mod registry_client;
pub mod registry_tls;
pub mod serving_args;
mod start_traces;
mod strip;
mod unavailable;
mod upgrades;
mod user_configs;
mod warnings;
mod watches;
mod workspace_metrics;

pub use args::Args;
pub use program::run;
