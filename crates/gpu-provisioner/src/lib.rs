//! The gpu-provisioner: from a Machine or a NodeClaim to an agent pool of one node, and back.
//!
//! A shell around `nodeclaim_plan`: it watches, keeps the snapshot of the cloud's pools, and hands plans to
//! `operator_runtime` to carry out. It decides nothing.

pub mod args;
pub mod claims;
pub mod lister;
pub mod observe;
pub mod pools;
pub mod program;
pub mod reconcile;
pub mod trim;
mod watches;

pub use args::Args;
pub use program::run;
