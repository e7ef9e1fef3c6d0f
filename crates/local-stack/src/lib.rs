//! The whole system on this machine: a real control plane, the Helm chart, a server that speaks Azure's ARM
//! protocol, and our three programs as processes under the chart's own ServiceAccounts.
//!
//! For integration tests, the demo and benchmarks. Stands things up and takes them down; asserts nothing.

mod helm;
mod options;
mod programs;
mod stack;

pub use helm::{Helm, NAMESPACE};
pub use options::StackOptions;
pub use programs::{ArmEndpoint, Programs};
pub use stack::Stack;
