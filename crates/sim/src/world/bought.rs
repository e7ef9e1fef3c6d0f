//! Memory of the rules about purchases.

use std::collections::{BTreeMap, BTreeSet};

use cloudprovider::{ErrorClass, Offering};
use jiff::Timestamp;
use kaito_api::AllowedOfferings;
use plan::ObjectRef;

/// Refusals, offerings that each Workspace allowed, and rungs that its status has to explain.
#[derive(Clone, Debug, Default)]
pub(super) struct Purchases {
    pub(super) read_attempts: usize,
    pub(super) read_log: usize,
    pub(super) refused: BTreeMap<Offering, (Timestamp, ErrorClass)>,
    pub(super) tenants: BTreeMap<String, Tenant>,
    pub(super) claims: BTreeSet<String>,
    pub(super) unexplained: Vec<Skip>,
    /// Rungs that were left out.
    pub(super) skips: usize,
}

/// One Workspace.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub(super) key: ObjectRef,
    pub(super) rungs: Vec<String>,
    /// Allowed offerings, each with the time of the edit.
    pub(super) allowed: Vec<(Timestamp, Option<AllowedOfferings>)>,
    /// Last time at which its workload existed.
    pub(super) served: Option<Timestamp>,
}

/// A rung that was left out for a later one.
#[derive(Clone, Debug)]
pub(super) struct Skip {
    pub(super) uid: String,
    pub(super) rung: String,
    pub(super) claim: String,
    /// The cloud refused all of its offerings.
    pub(super) is_refused: bool,
    pub(super) at: Timestamp,
    /// Starts of the controller until then. A start forgets the reason.
    pub(super) starts: u64,
}
