//! The port to a cloud: agent pools of one node, typed errors, and the snapshot that planners look at.
//!
//! No planner and no program sees a cloud's own types or texts; an adapter (`cloudprovider-*`) maps them to
//! these. Every call returns as soon as the cloud has accepted it: progress is read, never awaited.

pub mod call;
pub mod error;
pub mod pool;
pub mod provider;
pub mod snapshot;
pub mod tracker;

pub use call::{CallKind, CallOutcome, CloudCall};
pub use error::{ErrorClass, ProviderError};
pub use pool::{AgentPool, AgentPoolSpec, Ownership, ProvisioningState};
pub use provider::{Accepted, CloudProvider, OperationStatus};
pub use snapshot::{PoolLookup, Snapshot};
pub use tracker::{InstanceFacts, InstanceTracker, Recorded};
