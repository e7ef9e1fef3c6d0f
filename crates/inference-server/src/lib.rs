//! `inference-server`: answers over HTTP with a language model.
//!
//! `scheduler`, `stop` and `prefix` decide and are pure; `engine` runs the model on a thread of its own; `api` speaks HTTP;
//! `program` starts and stops all of it. Nothing here knows Kubernetes: what pods rely on are flags, paths and `/health`.

mod adapters;
mod api;
mod args;
mod config_file;
mod engine;
mod front;
mod load;
mod measure;
mod memory;
mod prefix;
mod program;
mod scheduler;
mod state;
mod stop;

pub use args::Args;
pub use program::{bind, run, serve};
