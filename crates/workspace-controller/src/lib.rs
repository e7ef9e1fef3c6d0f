//! The workspace controller: from a Workspace to nodes, a model server or a tuning Job, and a status line.
//!
//! A shell around `workspace_plan`: it watches, asks the preset registry, and hands plans to `operator_runtime`
//! to carry out. It decides nothing.

mod args;
mod catalog;
mod launch_backoff;
mod observe;
mod preset_watch;
pub mod presets;
mod program;
mod reconcile;
mod registry_client;
pub mod registry_tls;
mod strip;

pub use args::Args;
pub use program::run;
