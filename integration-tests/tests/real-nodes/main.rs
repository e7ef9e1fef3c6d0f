//! Workspaces on real nodes: the chart as a user installs it, a cloud that boots nodes, and pods that serve a model.
//!
//! Tests run in order of their names, two at a time. So the module `uninstall` must have the last name.
//!
//! Needs root on Linux, the programs built, Debian's packages of `local-cluster`, and pip for the example model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod chat;
mod failures;
mod interruptions;
mod kept_weights;
mod network;
mod pods;
mod serving;
mod shared;
mod spot_tuning;
mod stored_weights;
mod tuning;
mod uninstall;
