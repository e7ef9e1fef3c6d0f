//! Claims that are given up because of their Nodes, and what that depends on.

use jiff::Timestamp;

use super::InstanceTracker;

impl InstanceTracker {
    /// Permits the deletion of a claim whose Node was deleted, or returns the time at which it can be asked for again. At
    /// most `most` claims are permitted in [`BRAKE_WINDOW`](crate::BRAKE_WINDOW).
    ///
    /// # Errors
    /// The time of the next permission.
    pub fn permit_deletion(&mut self, claim_uid: &str, most: usize, now: Timestamp) -> Result<(), Timestamp> {
        self.brake.permit(claim_uid, most, now)
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
