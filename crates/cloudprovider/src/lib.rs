//! The port to a cloud: launches, instances, typed errors, and the bookkeeping of a provisioner.
//!
//! No planner and no program sees a cloud's own types or texts; an adapter (`cloudprovider-*`) maps them to these.
//! Every call returns once the cloud has accepted it: progress is read, never awaited.

mod brake;
mod call;
mod error;
mod instance;
mod launch;
mod limiter;
mod node_options;
mod offering;
mod provider;
mod snapshot;
mod spot;
mod survey;
pub mod tags;
mod tracker;

pub use brake::BRAKE_WINDOW;
pub use call::{CallKind, CallOutcome, CloudCall, Deferral};
pub use error::{ErrorClass, ProviderError};
pub use instance::{Instance, InstanceState, Ownership};
pub use launch::{LaunchLimits, LaunchSpec};
pub use limiter::{Permit, Rate, RateLimiter, RateLimits, RequestKind};
pub use node_options::NodeOptions;
pub use offering::{CapacityType, Offering, OfferingRefusal, RefusedOfferings};
pub use provider::{Accepted, CloudProvider, OperationStatus};
pub use snapshot::InstanceLookup;
pub use spot::SpotMarks;
pub use survey::{OfferedType, Quota, Quotas, Survey, SurveyList};
pub use tracker::{FullCluster, InstanceFacts, InstanceTracker, Recorded};
