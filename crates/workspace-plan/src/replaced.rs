//! Claims that their provisioner gave up because their Node was unhealthy or was taken back. Others follow them.

use kaito_api::Claim;
use kaito_api::conditions::{ClaimConditionType, ClaimReason};

use crate::claims;
use crate::condition::AnyReason;
use crate::context::PlanContext;
use crate::metadata::is_live;

/// Returns reason and message of a terminating claim of one of these names, if its Node is the cause.
pub(crate) fn cause<'n>(
    context: &PlanContext<'_>,
    mut names: impl Iterator<Item = &'n str>,
) -> Option<(AnyReason, String)> {
    names.find_map(|name| {
        let mut terminating = claims::of_name(context, name).filter(|claim| !is_live(claim.metadata()));
        terminating.find_map(unhealthy)
    })
}

fn unhealthy(claim: &Claim) -> Option<(AnyReason, String)> {
    let health = claim.condition(ClaimConditionType::NodeHealthy)?;
    let reason = ClaimReason::parse(health.reason)?;
    let (kind, name) = (claim.claim_kind().as_str(), claim.name());
    Some((reason.into(), format!("{kind} {name}: {}", health.message.trim())))
}
