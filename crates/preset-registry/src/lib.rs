//! The preset registry: a gRPC service that knows every model preset.
//!
//! Serves one loaded catalogue. It decides nothing about clusters and never speaks to Kubernetes or a cloud.

mod args;
mod metrics;
mod paging;
mod program;
mod server;
mod service;

pub use args::Args;
pub use program::run;
pub use server::{ServeError, serve, serve_measured};
