//! Status: what is shown of a claim, and the events that follow from a change of it. The status is computed whole in
//! every reconcile and written only if it differs. How conditions follow from stages differs between the kinds.

mod events;
pub(crate) mod findings;
mod machine;
mod node_claim;
mod report;

use kaito_api::Claim;
use kaito_api::conditions::ClaimConditionType;
use plan::Event;
use serde::Serialize;
use serde_json::Value;

use crate::condition::{self, ConditionUpdate};
use crate::context::PlanContext;
use crate::instance::InstanceView;
use crate::launch::decision::LaunchState;
use crate::status::events::HasConditions;
use crate::status::findings::Findings;
use crate::status::report::{NodeSource, StatusReport};

/// A change of the claim's status.
#[derive(Default)]
pub(crate) struct StatusUpdate {
    /// The complete status; `None` if it stays as it is.
    pub(crate) value: Option<Value>,
    /// Events about the change.
    pub(crate) events: Vec<Event>,
}

/// Returns the status of a claim that is wanted.
pub(crate) fn live(
    context: &PlanContext<'_>,
    state: &LaunchState<'_>,
    registered: ConditionUpdate,
    initialized: ConditionUpdate,
    findings: Findings,
) -> StatusUpdate {
    let node = match (state, context.instance) {
        (LaunchState::Joined(edit), _) => NodeSource::Observed(edit.node()),
        (LaunchState::NotLaunched(_), InstanceView::Absent(_)) => NodeSource::None,
        _ => NodeSource::Stored,
    };
    let report = StatusReport {
        stages: [state.launched(context.claim), registered, initialized],
        findings,
        waiting_for: None,
        node,
    };
    update(context, report)
}

/// Returns the status of a claim that is being deleted: its stages stay as they were.
pub(crate) fn terminating(context: &PlanContext<'_>, waiting_for: ConditionUpdate) -> StatusUpdate {
    let report = StatusReport {
        stages: ClaimConditionType::STEPS.map(|type_| condition::stored(context.claim, type_)),
        findings: Findings::stored(context.claim),
        waiting_for: Some(waiting_for),
        node: NodeSource::Stored,
    };
    update(context, report)
}

fn update(context: &PlanContext<'_>, report: StatusReport<'_>) -> StatusUpdate {
    let kind = context.claim.claim_kind().as_str();
    match context.claim {
        Claim::Machine(machine) => {
            let status = machine::status(context.now, context.claim, machine, report);
            difference(kind, machine.status.as_ref(), &status)
        }
        Claim::NodeClaim(claim) => {
            let status = node_claim::status(context, claim, &report);
            difference(kind, claim.status.as_ref(), &status)
        }
    }
}

fn difference<S: HasConditions + PartialEq + Serialize>(
    kind: &str,
    before: Option<&S>,
    status: &S,
) -> StatusUpdate {
    if before == Some(status) {
        return StatusUpdate::default();
    }
    let old = before.map(HasConditions::views).unwrap_or_default();
    StatusUpdate {
        // Strings and numbers only, so this cannot fail.
        value: serde_json::to_value(status).ok(),
        events: events::between(kind, &old, &status.views()),
    }
}
