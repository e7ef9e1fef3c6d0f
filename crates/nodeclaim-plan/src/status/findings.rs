//! Conditions beside the stages of a claim: the health of its Node, and drift.

use kaito_api::Claim;
use kaito_api::conditions::ClaimConditionType;

use crate::condition::{self, ConditionUpdate};

/// Conditions that a claim has only while they say something.
#[derive(Default)]
pub(crate) struct Findings {
    /// Problem of the Node, if it is unhealthy.
    pub(crate) health: Option<ConditionUpdate>,
    /// Difference between the node and its class, if there is one.
    pub(crate) drift: Option<ConditionUpdate>,
}

impl Findings {
    /// Returns what the claim's status has already.
    pub(crate) fn stored(claim: &Claim) -> Self {
        let of = |type_| claim.condition(type_).map(|_| condition::stored(claim, type_));
        Self {
            health: of(ClaimConditionType::NodeHealthy),
            drift: of(ClaimConditionType::Drifted),
        }
    }
}
