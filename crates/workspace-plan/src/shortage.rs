//! Quota and restrictions of the subscription, before nodes are asked for: what the cloud would refuse, as far as is known.
//!
//! It is a hint. The cloud decides, so no Workspace is refused for it, and what runs or is on its way is never touched.

use kaito_api::conditions::{ClaimConditionType, WorkspaceReason};
use kaito_api::shortage::Shortage;

use crate::allowed::allowed;
use crate::claims;
use crate::context::PlanContext;
use crate::desired::Desired;
use crate::metadata::is_live;
use crate::problem::Problem;

/// Returns the reason for which the cloud would refuse nodes that the Workspace has still to ask for.
pub(crate) fn of(context: &PlanContext<'_>, desired: &Desired<'_>) -> Option<Problem> {
    let known = context.observed.capacity.as_ref()?;
    let record = &known.record;
    if context.workload.is_some() || !record.is_current(context.now) {
        return None;
    }
    let instance_type = &desired.hardware.instance_type;
    // Older claims speak for themselves: they count in the quota, or the provisioner reports their refusal.
    let has_asked = claims::own(context).filter(|claim| {
        let is_of_type = claim
            .instance_type()
            .is_some_and(|name| name.eq_ignore_ascii_case(instance_type));
        let is_settled = claim.is_true(ClaimConditionType::Launched) || !record.is_younger(claim);
        is_of_type && is_live(claim.metadata()) && is_settled
    });
    let has_asked = u32::try_from(has_asked.count()).unwrap_or(u32::MAX);
    let nodes = desired.nodes.saturating_sub(has_asked);
    let shortage = record.shortage(instance_type, nodes, &allowed(context).ok()?, &known.waiting)?;
    let reason = match shortage {
        Shortage::Restricted(_) => WorkspaceReason::InstanceTypeRestricted,
        Shortage::Quota(_) => WorkspaceReason::QuotaTooSmall,
    };
    Some(Problem::new(reason, shortage.words()))
}

/// Reports a shortage of the type that is asked for nevertheless.
pub(crate) fn note(context: &PlanContext<'_>, desired: &Desired<'_>) -> Option<Problem> {
    let problem = of(context, desired)?;
    let (name, cause) = (&desired.hardware.instance_type, problem.cause);
    Some(Problem::new(
        problem.reason,
        format!("{name}: {cause}; it is asked for nevertheless"),
    ))
}
