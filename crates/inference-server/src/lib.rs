//! `inference-server`: answers over HTTP with a language model.
//!
//! `scheduler`, `stop`, `tools`, `pool`, `prefix` and `keys` decide and are pure, and so is what `guide` makes of requests;
//! `engine` runs the model on a thread of its own; `api` speaks HTTP; `program` starts and stops all of it. Nothing here knows
//! Kubernetes: what pods rely on are flags, paths and `/health`.

mod api;
mod args;
mod engine;
mod grammar;
mod load;
mod metrics;
mod program;
mod proxy;
mod security;
mod tool_calls;

pub use args::Args;
pub use program::{bind, run, serve};
