//! Claims that are given up because of their Nodes, and what that depends on.

use jiff::Timestamp;

use super::InstanceTracker;
use crate::brake::MassFailure;

impl InstanceTracker {
    /// Permits the deletion of a claim whose Node was deleted, or returns the time at which it can be asked for again. At
    /// most `most` claims are permitted in [`BRAKE_WINDOW`](crate::BRAKE_WINDOW).
    ///
    /// # Errors
    /// The time of the next permission.
    pub fn permit_deletion(&mut self, claim_uid: &str, most: usize, now: Timestamp) -> Result<(), Timestamp> {
        self.brake.permit(claim_uid, most, now)
    }

    /// Records that so many Nodes are unhealthy, more than may be replaced. Returns the time since which no other one failed,
    /// while the cloud and the API server answered.
    pub fn record_mass_failure(&mut self, nodes: usize, now: Timestamp) -> Timestamp {
        MassFailure::record(&mut self.mass_failure, nodes, now)
    }

    /// Records that few Nodes are unhealthy, or that it is not known how many are.
    pub fn end_mass_failure(&mut self) {
        self.mass_failure = None;
    }

    /// Records that a claim is given up because its Node is to be replaced. Returns true if that is news.
    pub fn begin_replacement(&mut self, name: &str) -> bool {
        self.replaced.insert(name.to_owned())
    }

    /// Start of the newest complete listing.
    #[must_use]
    pub fn listed_at(&self) -> Option<Timestamp> {
        self.snapshot.listed_at()
    }
}
