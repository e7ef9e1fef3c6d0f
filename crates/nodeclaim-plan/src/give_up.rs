//! The end of a claim whose Node is to be replaced: by repair, or because the cloud takes spot capacity back.

use cloudprovider::CloudCall;
use kaito_api::conditions::{ClaimConditionType, ClaimReason, Status};
use plan::{Event, Plan};

use crate::condition::{self, ConditionUpdate};
use crate::context::PlanContext;
use crate::launch::decision::LaunchState;
use crate::repair::symptom;
use crate::status::findings::Findings;
use crate::{claim_edit, outdated, status};

/// Stable word for spot capacity that is taken back.
pub(crate) const SPOT: &str = "spot_node_reclaimed";

/// Deletes a claim whose Node is of no more use, with this reason in its status and in an Event.
pub(crate) fn plan(
    context: &PlanContext<'_>,
    reason: ClaimReason,
    code: &'static str,
    cause: &str,
) -> Plan<CloudCall> {
    let stored = |type_| condition::stored(context.claim, type_);
    // The message has no remedy: it describes what happens.
    let health = ConditionUpdate {
        status: Status::False,
        reason: Some(reason),
        message: plan::text::sentence(cause),
    };
    let status = status::live(
        context,
        &LaunchState::Unchanged,
        stored(ClaimConditionType::Registered),
        stored(ClaimConditionType::Initialized),
        Findings {
            health: Some(health),
            ..Findings::stored(context.claim)
        },
    );
    let mut plan = Plan {
        writes: vec![claim_edit::delete(context.claim)],
        status: status.value,
        events: vec![Event::warning(reason.as_str(), plan::text::sentence(cause))],
        ..Plan::default()
    };
    plan.add_reason(code, cause);
    plan
}

/// Causes for which a claim is given up because its Node is to be replaced, as stable words.
pub const REPLACEMENT_CAUSES: [&str; 7] = [
    symptom::NOT_READY,
    symptom::CONDITION,
    symptom::TAINTED,
    symptom::GPUS_LOST,
    SPOT,
    outdated::DRIFTED,
    outdated::EXPIRED,
];

/// Returns a stable word for the cause, if the plan gives a claim up because its Node is to be replaced.
#[must_use]
pub fn replacement(plan: &Plan<CloudCall>) -> Option<&'static str> {
    let first = plan.reasons.first()?.code;
    REPLACEMENT_CAUSES.into_iter().find(|code| *code == first)
}
