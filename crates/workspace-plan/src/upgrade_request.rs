//! The request for the turn of an automatic upgrade, found before a plan is made: the queue gives the turns.

use crate::context::PlanContext;
use crate::phase::{self, Phase};
use crate::rollout;
use crate::upgrade_queue::TurnRequest;

/// Returns the request of a Workspace that waits for its automatic upgrade.
pub(crate) fn of(context: &PlanContext<'_>) -> Option<TurnRequest> {
    if !context.is_live() {
        return None;
    }
    match phase::of(context) {
        Phase::Valid(desired, manifests) => rollout::request(context, &desired, manifests),
        _ => None,
    }
}
