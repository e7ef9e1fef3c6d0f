//! `inference-server`: serves a language model over HTTP.
//!
//! `program` starts and stops everything. A request takes this way: `api` parses and validates it, `engine` schedules it and runs
//! the model, `api` sends the response. `load` makes an engine from a directory. `grammar` constrains completions, `tool_calls`
//! parses the calls in them, `reasoning` what the model
//! thinks before. `proxy` replaces all of this in front of another server. The crate knows no Kubernetes: pods rely on
//! flags, paths and `/health`.

mod api;
mod args;
mod drain;
mod engine;
mod grammar;
mod load;
mod metrics;
mod program;
mod progress;
mod proxy;
mod reasoning;
mod security;
mod settings;
mod tool_calls;

pub use args::Args;
pub use program::{bind, run, serve};
pub use settings::ServerSettings;
