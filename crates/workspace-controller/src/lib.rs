//! The workspace controller: from a Workspace to nodes, a model server or a tuning Job, and a status line.
//!
//! A shell around `workspace_plan`: it watches, asks the preset registry, and hands plans to `operator_runtime`
//! to carry out. It decides nothing.

pub mod args;
mod catalog;
pub mod lost;
pub mod observe;
mod preset_watch;
pub mod presets;
pub mod program;
pub mod reconcile;
pub mod registry_tls;
pub mod trim;

pub use args::Args;
pub use program::run;
