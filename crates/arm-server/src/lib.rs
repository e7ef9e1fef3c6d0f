//! An Azure Resource Manager and token server for the agent pools of one AKS cluster, over HTTP.
//!
//! It responds as the recorded service does, can fail in every way that the service fails, and boots simulated nodes. It
//! is for tests and local runs: it holds everything in memory and must never be reachable from outside.

mod app;
mod args;
mod arm;
mod auth;
mod boot;
pub mod config;
pub mod control;
mod driver;
pub mod envelope;
mod errors;
pub mod faults;
mod headers;
mod listener;
mod pattern;
mod recorder;
mod route;
mod server;
mod tokens;
mod world;

pub use args::Args;
pub use config::ArmServerConfig;
pub use server::{ServeError, ServerHandle, serve};
