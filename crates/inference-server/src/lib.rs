//! `inference-server`: answers over HTTP with a language model.
//!
//! `scheduler`, `stop`, `tools`, `pool`, `prefix` and `keys` decide and are pure, and so is what `guide` makes of requests;
//! `engine` runs the model on a thread of its own; `api` speaks HTTP; `program` starts and stops all of it. Nothing here knows
//! Kubernetes: what pods rely on are flags, paths and `/health`.

mod adapters;
mod api;
mod args;
mod config_file;
mod encrypted;
mod engine;
mod follow;
mod front;
mod guide;
mod hub;
mod keys;
mod load;
mod measure;
mod memory;
mod pool;
mod prefix;
mod program;
mod scheduler;
mod security;
mod state;
mod stop;
mod tls;
mod tools;

pub use args::Args;
pub use program::{bind, run, serve};
